from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from dubline.orchestration.domain.errors import BrokerUnavailableError, UploadNotReadyError
from dubline.orchestration.domain.uploads import UploadKind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.integration.orchestration.conftest import JobFactory

    from dubline.orchestration.database.store import Store

EXPIRED_S = -1.0
RENDER, PROBE = "dubline.render", "dubline.probe"


def sent(store: Store) -> dict[str, int]:
    """What the outbox holds; it is empty afterwards."""
    seen: dict[str, int] = {}
    store.outbox.publish(seen.update)
    return seen


@pytest.fixture
def quiet(store: Store, factory: JobFactory) -> JobFactory:
    sent(store)
    return factory


def test_nothing_to_send_means_no_call(store: Store) -> None:
    assert store.outbox.publish(pytest.fail) == 0


def test_each_way_to_become_claimable_leaves_a_wake_up(store: Store, quiet: JobFactory) -> None:
    quiet.job()
    assert sent(store) == {RENDER: 1}
    rows = [quiet.new(), quiet.new(), quiet.new(portrait=uuid4())]
    store.batches.insert("acme", rows, "key", "hash")
    assert sent(store) == {RENDER: 2}
    store.batches.insert("acme", rows, "key", "hash")
    assert sent(store) == {}
    lease = store.leases.claim("worker", 10)
    assert lease is not None
    store.leases.release(lease)
    assert sent(store) == {RENDER: 1}
    store.leases.claim("lost", EXPIRED_S)
    store.leases.rescue_expired()
    assert sent(store) == {RENDER: 1}


def test_an_upload_announced_leaves_a_wake_up_once(store: Store, quiet: JobFactory) -> None:
    upload = quiet.probing(UploadKind.SPEECH)
    assert sent(store) == {PROBE: 1}
    store.uploads.mark_probing("acme", upload.id)
    store.uploads.reject_pending("acme", quiet.pending(UploadKind.SPEECH).id, "x", "y")
    assert sent(store) == {}
    store.uploads.claim("lost", EXPIRED_S)
    store.uploads.rescue_expired()
    assert sent(store) == {PROBE: 1}


def test_what_was_not_committed_is_not_sent(store: Store, quiet: JobFactory) -> None:
    probing = quiet.probing(UploadKind.SPEECH)
    sent(store)
    with pytest.raises(UploadNotReadyError):
        store.batches.insert("acme", [quiet.new(), quiet.new(speech=probing.id)], None, "hash")
    assert sent(store) == {}


def test_wake_ups_stay_while_the_broker_is_away(store: Store, quiet: JobFactory) -> None:
    quiet.job()

    def broken(_counts: Mapping[str, int]) -> None:
        raise BrokerUnavailableError

    with pytest.raises(BrokerUnavailableError):
        store.outbox.publish(broken)
    assert sent(store) == {RENDER: 1}


def test_two_relays_at_once_share_and_send_nothing_twice(store: Store, quiet: JobFactory) -> None:
    quiet.job()
    inside, go_on = Event(), Event()

    def slow(_counts: Mapping[str, int]) -> None:
        inside.set()
        assert go_on.wait(10)

    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(store.outbox.publish, slow)
        assert inside.wait(10)
        quiet.job()
        assert sent(store) == {RENDER: 1}
        go_on.set()
        assert first.result() == 1
    assert sent(store) == {}


def test_the_oldest_go_first_and_the_rest_in_the_next_call(store: Store, quiet: JobFactory) -> None:
    for _ in range(3):
        quiet.job()
    seen: list[Mapping[str, int]] = []
    assert store.outbox.publish(seen.append, limit=2) == 2
    assert store.outbox.publish(seen.append, limit=2) == 1
    assert seen == [{RENDER: 2}, {RENDER: 1}]
