from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from sqlalchemy import event

from dubline.orchestration.domain.errors import (
    DublineError,
    IdempotencyKeyReusedError,
    InvalidBatchError,
    InvalidRequestError,
    NotFoundError,
    UploadNotReadyError,
)
from dubline.orchestration.domain.jobs import JobState
from dubline.orchestration.domain.uploads import UploadKind

if TYPE_CHECKING:
    from tests.integration.orchestration.conftest import JobFactory

    from dubline.orchestration.database.store import Store


def test_pages_list_the_rows_of_a_batch_in_order(store: Store, factory: JobFactory) -> None:
    rows = [factory.new(custom_id=f"row-{n}", seed=n) for n in range(7)]
    batch, replayed = store.batches.insert("acme", rows, None, "hash")
    assert not replayed
    seen, after = [], None
    while True:
        page = store.batches.jobs("acme", batch.id, after, limit=3)
        seen += [(json.loads(job.members)["custom_id"], json.loads(job.members)["seed"]) for job in page.jobs]
        if page.next_after is None:
            break
        after = page.next_after
    assert seen == [(f"row-{n}", n) for n in range(7)]


def test_a_full_last_page_has_no_next_page(store: Store, factory: JobFactory) -> None:
    batch, _ = store.batches.insert("acme", [factory.new()] * 3, None, "hash")
    assert store.batches.jobs("acme", batch.id, None, limit=3).next_after is None


def test_progress_and_counts_are_computed_from_the_jobs(store: Store, factory: JobFactory) -> None:
    batch, _ = store.batches.insert("acme", [factory.new(), factory.new()], None, "hash")
    assert batch.counts[JobState.QUEUED] == 2
    assert set(batch.counts) == set(JobState)
    lease = store.leases.claim("worker", 10)
    assert lease is not None
    store.leases.finish(lease, 1, 1.0)
    half = store.batches.get("acme", batch.id)
    assert (half.counts[JobState.SUCCEEDED], half.progress_percent, half.finished) == (1, 50.0, False)


def test_an_unusable_upload_fails_only_its_row(store: Store, factory: JobFactory) -> None:
    faceless = factory.rejected(UploadKind.PORTRAIT, "no_face", "No face in it.")
    pending = factory.pending(UploadKind.SPEECH)
    rows = [
        factory.new(),
        factory.new(portrait=uuid4()),
        factory.new(portrait=faceless.id),
        factory.new(speech=pending.id),
        factory.new(speech=factory.portrait.id),
        factory.new(),
    ]
    batch, _ = store.batches.insert("acme", rows, None, "hash")
    jobs = [store.jobs.get("acme", job.id) for job in store.batches.jobs("acme", batch.id, None, 10).jobs]
    assert [job.error_code for job in jobs] == [
        None,
        "upload_missing",
        "no_face",
        "upload_missing",
        "wrong_content_type",
        None,
    ]
    assert jobs[2].error_detail == "No face in it."
    assert batch.counts[JobState.QUEUED] == 2
    assert batch.counts[JobState.FAILED] == 4


def test_an_upload_of_another_tenant_is_missing(store: Store, factory: JobFactory) -> None:
    other = type(factory)(store, "other")
    batch, _ = store.batches.insert("acme", [factory.new(portrait=other.portrait.id)], None, "hash")
    (job,) = store.batches.jobs("acme", batch.id, None, 10).jobs
    assert store.jobs.get("acme", job.id).error_code == "upload_missing"
    assert store.batches.get("acme", batch.id).finished


def test_a_batch_with_an_upload_being_probed_inserts_nothing(store: Store, factory: JobFactory) -> None:
    probing = factory.probing(UploadKind.SPEECH)
    with pytest.raises(UploadNotReadyError):
        store.batches.insert("acme", [factory.new(), factory.new(speech=probing.id)], "key", "hash")
    assert store.jobs.queued_counts().claimable == 0
    # The key can be used again.
    assert store.batches.insert("acme", [factory.new()], "key", "another")[1] is False


def test_a_batch_with_invalid_rows_inserts_nothing(store: Store, factory: JobFactory) -> None:
    rows = [factory.new(custom_id="a"), factory.new(preset="huge"), factory.new(custom_id="a")]
    with pytest.raises(InvalidBatchError) as caught:
        store.batches.insert("acme", rows, None, "hash")
    assert [(error["row"], error["code"]) for error in caught.value.errors] == [
        (0, "duplicate_custom_id"),
        (1, "unknown_preset"),
        (2, "duplicate_custom_id"),
    ]
    assert store.jobs.queued_counts().claimable == 0


def test_a_batch_without_rows_is_refused(store: Store, factory: JobFactory) -> None:
    with pytest.raises(InvalidBatchError):
        store.batches.insert(factory.tenant, [], None, "hash")


def test_the_same_key_and_request_give_the_same_batch(store: Store, factory: JobFactory) -> None:
    first, _ = store.batches.insert("acme", [factory.new()], "key", "hash")
    second, replayed = store.batches.insert("acme", [factory.new()], "key", "hash")
    assert replayed
    assert second == first
    assert store.jobs.queued_counts().claimable == 1


def test_the_same_key_with_another_request_is_refused(store: Store, factory: JobFactory) -> None:
    store.batches.insert("acme", [factory.new()], "key", "hash")
    with pytest.raises(IdempotencyKeyReusedError):
        store.batches.insert("acme", [factory.new()], "key", "other hash")


def test_idempotency_keys_are_separate_per_tenant(store: Store, factory: JobFactory) -> None:
    other = type(factory)(store, "other")
    store.batches.insert("acme", [factory.new()], "key", "hash")
    assert store.batches.insert("other", [other.new()], "key", "other hash")[1] is False


def test_concurrent_calls_with_one_key_create_one_batch(store: Store, factory: JobFactory) -> None:
    with ThreadPoolExecutor(4) as pool:
        calls = [pool.submit(store.batches.insert, "acme", [factory.new()] * 20, "key", "hash") for _ in range(4)]
    assert len({call.result()[0].id for call in calls}) == 1
    assert sorted(call.result()[1] for call in calls) == [False, True, True, True]
    assert store.jobs.queued_counts().claimable == 20


def test_a_key_can_be_used_if_its_batch_is_deleted_concurrently(store: Store, factory: JobFactory) -> None:
    first, _ = store.batches.insert("acme", [factory.new()], "key", "hash")
    deleted_at: list[str] = []

    def delete(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        # Between the insert that finds the key in use and the query for its batch.
        if statement.startswith("SELECT") and "batches.idempotency_key = " in statement and not deleted_at:
            deleted_at.append(statement)
            store.deletions.batch("acme", first.id, "test")

    event.listen(store._engine, "before_cursor_execute", delete)
    second, replayed = store.batches.insert("acme", [factory.new()], "key", "hash")
    event.remove(store._engine, "before_cursor_execute", delete)
    assert deleted_at
    assert not replayed
    assert second.id != first.id
    assert second.counts[JobState.QUEUED] == 1


def test_concurrent_batches_of_one_tenant_do_not_deadlock(store: Store, factory: JobFactory) -> None:
    with ThreadPoolExecutor(4) as pool:
        calls = [pool.submit(store.batches.insert, "acme", [factory.new()] * 20, None, "hash") for _ in range(8)]
    assert len({call.result()[0].id for call in calls}) == 8


def test_ten_thousand_rows_are_one_transaction_of_a_few_statements(store: Store, factory: JobFactory) -> None:
    rows = [factory.new(custom_id=f"row-{n}") for n in range(10_000)]
    executed: list[str] = []

    def record(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        executed.append(statement)

    event.listen(store._engine, "before_cursor_execute", record)
    batch, _ = store.batches.insert("acme", rows, "key", "hash")
    event.remove(store._engine, "before_cursor_execute", record)
    assert batch.counts[JobState.QUEUED] == 10_000
    # Half a second on an idle machine (benchmarks/store.py); one statement per row would take ten seconds.
    assert len(executed) <= 12


def test_another_tenants_batch_is_not_found(store: Store, factory: JobFactory) -> None:
    batch, _ = store.batches.insert("acme", [factory.new()], None, "hash")
    with pytest.raises(NotFoundError):
        store.batches.get("other", batch.id)
    with pytest.raises(NotFoundError):
        store.batches.jobs("other", batch.id, None, 10)


def test_another_tenants_job_is_not_found(store: Store, factory: JobFactory) -> None:
    job = factory.job()
    with pytest.raises(NotFoundError):
        store.jobs.get("other", job.id)
    assert store.jobs.attempts("other", job.id) == ()


def test_a_single_job_with_an_unusable_upload_is_refused(store: Store, factory: JobFactory) -> None:
    silent = factory.rejected(UploadKind.SPEECH, "speech_silent", "The speech is silent.")
    with pytest.raises(DublineError, match="The speech is silent") as caught:
        store.jobs.insert("acme", factory.new(speech=silent.id))
    assert caught.value.code == "speech_silent"
    assert caught.value.status == 422


def test_a_single_job_with_an_unknown_preset_is_refused(store: Store, factory: JobFactory) -> None:
    with pytest.raises(InvalidRequestError, match="tiny"):
        store.jobs.insert("acme", factory.new(preset="huge"))
