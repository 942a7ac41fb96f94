from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from sqlalchemy.exc import IntegrityError
from tests.integration.orchestration.conftest import PORTRAIT, JobFactory, speech_facts

from dubline.orchestration.domain.errors import LeaseLostError, NotFoundError
from dubline.orchestration.domain.idempotency import Request
from dubline.orchestration.domain.uploads import UploadKind, UploadState

if TYPE_CHECKING:
    from dubline.orchestration.database.store import Store

EXPIRED_S = -1.0


def test_an_upload_is_pending_until_it_is_completed(store: Store, factory: JobFactory) -> None:
    upload = factory.pending(UploadKind.SPEECH)
    assert upload.state is UploadState.PENDING
    assert store.uploads.claim("prober", 10) is None
    assert store.uploads.mark_probing("acme", upload.id).state is UploadState.PROBING
    assert store.uploads.waiting_count() == 1


def test_a_row_that_is_not_valid_is_not_taken_for_a_repeated_request(store: Store) -> None:
    # PostgreSQL shows the row, and so the key, in the error.
    request = Request(key="uploads_idempotency_key", sha256="0" * 64)
    with pytest.raises(IntegrityError, match="size_bytes"):
        store.uploads.insert_once("acme", UploadKind.SPEECH, "audio/wav", 0, request)


def test_completing_an_upload_again_changes_nothing(store: Store, factory: JobFactory) -> None:
    assert store.uploads.mark_probing("acme", factory.portrait.id) == factory.portrait


def test_another_tenants_upload_is_not_found(store: Store, factory: JobFactory) -> None:
    with pytest.raises(NotFoundError):
        store.uploads.get("other", factory.portrait.id)
    with pytest.raises(NotFoundError):
        store.uploads.mark_probing("other", factory.portrait.id)


def test_the_facts_of_a_probe_are_stored(store: Store, factory: JobFactory) -> None:
    upload = store.uploads.get("acme", factory.portrait.id)
    assert upload.state is UploadState.READY
    assert upload.facts == PORTRAIT


def test_a_rejected_upload_has_its_error(store: Store, factory: JobFactory) -> None:
    upload = factory.rejected(UploadKind.PORTRAIT, "no_face", "No face.")
    assert store.uploads.get("acme", upload.id).error_code == "no_face"


def test_uploads_are_claimed_in_the_order_of_their_completion(store: Store, factory: JobFactory) -> None:
    completed = [factory.probing(UploadKind.SPEECH).id for _ in range(3)]
    claimed = [lease.upload.id for _ in completed if (lease := store.uploads.claim("prober", 10))]
    assert claimed == completed


def test_a_prober_cannot_write_to_a_rescued_upload(store: Store, factory: JobFactory) -> None:
    factory.probing(UploadKind.SPEECH)
    zombie = store.uploads.claim("zombie", EXPIRED_S)
    assert store.uploads.rescue_expired() == 1
    successor = store.uploads.claim("successor", 10)
    assert zombie is not None
    assert successor is not None
    assert successor.attempt == 2
    with pytest.raises(LeaseLostError):
        store.uploads.accept(zombie, speech_facts(1.0))
    with pytest.raises(LeaseLostError):
        store.uploads.renew(zombie, 10)
    assert store.uploads.accept(successor, speech_facts(1.0)).state is UploadState.READY


def test_an_upload_that_loses_three_probers_is_rejected(store: Store, factory: JobFactory) -> None:
    upload = factory.probing(UploadKind.SPEECH)
    for _ in range(3):
        assert store.uploads.claim("prober", EXPIRED_S) is not None
        assert store.uploads.rescue_expired() == 1
    assert store.uploads.get("acme", upload.id).error_code == "attempts_exhausted"
    assert store.uploads.claim("prober", 10) is None


def test_transient_failures_do_not_count_as_lost_probers(store: Store, factory: JobFactory) -> None:
    upload = factory.probing(UploadKind.SPEECH)
    for attempt in range(1, 6):
        lease = store.uploads.claim("prober", 10)
        assert lease is not None
        assert lease.attempt == attempt
        store.uploads.retry(lease, delay_s=0)
    assert store.uploads.claim("prober", EXPIRED_S) is not None
    assert store.uploads.rescue_expired() == 1
    assert store.uploads.get("acme", upload.id).state is UploadState.PROBING
    successor = store.uploads.claim("prober", 10)
    assert successor is not None
    assert store.uploads.accept(successor, speech_facts(1.0)).state is UploadState.READY


def test_only_a_pending_upload_is_rejected_without_a_probe(store: Store, factory: JobFactory) -> None:
    pending, probing = factory.pending(UploadKind.SPEECH), factory.probing(UploadKind.SPEECH)
    rejected = store.uploads.reject_pending("acme", pending.id, "upload_size_mismatch", "One byte short.")
    assert (rejected.state, rejected.error_code) == (UploadState.REJECTED, "upload_size_mismatch")
    assert store.uploads.reject_pending("acme", probing.id, "upload_size_mismatch", "Late.") == probing
    with pytest.raises(NotFoundError):
        store.uploads.reject_pending("other", pending.id, "upload_size_mismatch", "Not yours.")


def test_a_released_probe_is_not_counted(store: Store, factory: JobFactory) -> None:
    factory.probing(UploadKind.SPEECH)
    lease = store.uploads.claim("prober", 10)
    assert lease is not None
    assert store.uploads.renew(lease, 60).expires_at > lease.expires_at
    store.uploads.release(lease)
    again = store.uploads.claim("prober", 10)
    assert again is not None
    assert again.attempt == 1


def test_a_retried_probe_waits_for_its_delay(store: Store, factory: JobFactory) -> None:
    factory.probing(UploadKind.SPEECH)
    lease = store.uploads.claim("prober", 10)
    assert lease is not None
    store.uploads.retry(lease, delay_s=60)
    assert store.uploads.claim("prober", 10) is None
    assert store.uploads.waiting_count() == 0
