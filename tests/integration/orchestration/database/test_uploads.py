from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.integration.orchestration.conftest import PORTRAIT, JobFactory, speech_facts

from dubline.orchestration.domain.errors import LeaseLostError, NotFoundError
from dubline.orchestration.domain.uploads import UploadKind, UploadState

if TYPE_CHECKING:
    from dubline.orchestration.database.store import Store

EXPIRED_S = -1.0


def test_an_upload_is_pending_until_its_bytes_are_announced(store: Store, factory: JobFactory) -> None:
    upload = factory.pending(UploadKind.SPEECH)
    assert upload.state is UploadState.PENDING
    assert store.uploads.claim("prober", 10) is None
    assert store.uploads.mark_probing("acme", upload.id).state is UploadState.PROBING
    assert store.uploads.waiting_count() == 1


def test_announcing_twice_changes_nothing(store: Store, factory: JobFactory) -> None:
    assert store.uploads.mark_probing("acme", factory.portrait.id) == factory.portrait


def test_another_tenants_upload_is_not_found(store: Store, factory: JobFactory) -> None:
    with pytest.raises(NotFoundError):
        store.uploads.get("other", factory.portrait.id)
    with pytest.raises(NotFoundError):
        store.uploads.mark_probing("other", factory.portrait.id)


def test_the_facts_of_a_probe_are_kept(store: Store, factory: JobFactory) -> None:
    upload = store.uploads.get("acme", factory.portrait.id)
    assert upload.state is UploadState.READY
    assert upload.facts == PORTRAIT


def test_a_rejected_upload_says_why(store: Store, factory: JobFactory) -> None:
    upload = factory.rejected(UploadKind.PORTRAIT, "no_face", "No face.")
    assert store.uploads.get("acme", upload.id).error_code == "no_face"


def test_uploads_are_probed_in_the_order_they_were_announced(store: Store, factory: JobFactory) -> None:
    announced = [factory.probing(UploadKind.SPEECH).id for _ in range(3)]
    claimed = [lease.upload.id for _ in announced if (lease := store.uploads.claim("prober", 10))]
    assert claimed == announced


def test_a_prober_whose_upload_was_rescued_cannot_decide_about_it(store: Store, factory: JobFactory) -> None:
    factory.probing(UploadKind.SPEECH)
    zombie = store.uploads.claim("zombie", EXPIRED_S)
    assert store.uploads.rescue_expired() == 1
    heir = store.uploads.claim("heir", 10)
    assert zombie is not None
    assert heir is not None
    assert heir.attempt == 2
    with pytest.raises(LeaseLostError):
        store.uploads.accept(zombie, speech_facts(1.0))
    with pytest.raises(LeaseLostError):
        store.uploads.renew(zombie, 10)
    assert store.uploads.accept(heir, speech_facts(1.0)).state is UploadState.READY


def test_a_file_that_kills_three_probers_is_rejected(store: Store, factory: JobFactory) -> None:
    upload = factory.probing(UploadKind.SPEECH)
    for _ in range(3):
        assert store.uploads.claim("prober", EXPIRED_S) is not None
        assert store.uploads.rescue_expired() == 1
    assert store.uploads.get("acme", upload.id).error_code == "attempts_exhausted"
    assert store.uploads.claim("prober", 10) is None


def test_probes_that_failed_for_a_while_do_not_count_as_lost_probers(store: Store, factory: JobFactory) -> None:
    upload = factory.probing(UploadKind.SPEECH)
    for attempt in range(1, 6):
        lease = store.uploads.claim("prober", 10)
        assert lease is not None
        assert lease.attempt == attempt
        store.uploads.retry(lease, delay_s=0)
    assert store.uploads.claim("prober", EXPIRED_S) is not None
    assert store.uploads.rescue_expired() == 1
    assert store.uploads.get("acme", upload.id).state is UploadState.PROBING
    heir = store.uploads.claim("prober", 10)
    assert heir is not None
    assert store.uploads.accept(heir, speech_facts(1.0)).state is UploadState.READY


def test_only_a_pending_upload_is_refused_without_a_probe(store: Store, factory: JobFactory) -> None:
    pending, probing = factory.pending(UploadKind.SPEECH), factory.probing(UploadKind.SPEECH)
    refused = store.uploads.reject_pending("acme", pending.id, "upload_size_mismatch", "One byte short.")
    assert (refused.state, refused.error_code) == (UploadState.REJECTED, "upload_size_mismatch")
    assert store.uploads.reject_pending("acme", probing.id, "upload_size_mismatch", "Late.") == probing
    with pytest.raises(NotFoundError):
        store.uploads.reject_pending("other", pending.id, "upload_size_mismatch", "Not yours.")


def test_a_probe_given_back_at_shutdown_is_not_charged(store: Store, factory: JobFactory) -> None:
    factory.probing(UploadKind.SPEECH)
    lease = store.uploads.claim("prober", 10)
    assert lease is not None
    assert store.uploads.renew(lease, 60).expires_at > lease.expires_at
    store.uploads.release(lease)
    again = store.uploads.claim("prober", 10)
    assert again is not None
    assert again.attempt == 1


def test_a_probe_to_be_retried_waits_for_its_pause(store: Store, factory: JobFactory) -> None:
    factory.probing(UploadKind.SPEECH)
    lease = store.uploads.claim("prober", 10)
    assert lease is not None
    store.uploads.retry(lease, delay_s=60)
    assert store.uploads.claim("prober", 10) is None
    assert store.uploads.waiting_count() == 0
