"""Polls of a batch of several pages, and keys with any characters."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx2

from dubline.client.calls import batches

if TYPE_CHECKING:
    import pytest
    from tests.unit.client.service import Service

    from dubline.client.client import Client


def test_changes_are_asked_for_since_the_first_page_was_read(service: Service, client: Client) -> None:
    service.batches["key"] = "batch-0"
    service.jobs |= {f"job-{number}": {"id": f"job-{number}", "state": "queued"} for number in range(5)}
    states = [(job.id, job.state) for job in client.batches.follow("batch-0")]
    assert states[-5:] == [(f"job-{number}", "succeeded") for number in range(5)]
    pages = [request.url.params for request in service.requests if request.url.path.endswith("/jobs")]
    assert {page.get("changed_since") for page in pages} == {None, "1"}


def test_a_batch_is_found_by_a_key_of_any_characters(service: Service, client: Client) -> None:
    service.batches["a&b=c#d+e/f?g%20"] = "batch-7"
    assert client.batches.find("a&b=c#d+e/f?g%20") == "batch-7"
    assert client.batches.find("a") is None


def test_a_server_that_never_delays_is_asked_after_a_pause(
    service: Service, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    unfinished = {"id": "batch-0", "job_count": 0, "finished": False}
    service.batches["key"] = "batch-0"
    service.faults["GET /v1/batches/batch-0"] = [httpx2.Response(200, json=unfinished) for _ in range(3)]
    waits: list[bool] = []
    monkeypatch.setattr(batches.PollBackoff, "wait", lambda _, *, changed=False: waits.append(changed))
    assert list(client.batches.follow("batch-0")) == []
    assert waits == [False] * 3
