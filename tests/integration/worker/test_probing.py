# ruff: noqa: PLR0913, PLR0917 - a test takes the fixtures it needs
from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.integration.media.test_probe import replaced
from tests.integration.orchestration.rows import change

from dubline.orchestration.domain.errors import NotAnImageError
from dubline.orchestration.domain.quarantine import FAILURES_IN_A_ROW
from dubline.orchestration.domain.uploads import UploadKind, UploadState
from dubline.worker.executors import probe, probe_failures
from dubline.worker.runtime.loop import QuarantinedError

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.worker.conftest import Send

    from dubline.orchestration.database.store import Store
    from dubline.orchestration.storage.objects import Objects
    from dubline.worker.executors.probe import ProbeExecutor

CRASH = "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)"


def test_without_uploads_nothing_is_claimed(prober: ProbeExecutor) -> None:
    assert not prober.run_next()


def test_a_good_portrait_becomes_ready_with_facts(
    store: Store, send: Send, prober: ProbeExecutor, tenant: str, portrait_bytes: bytes, scratch_folder: Path
) -> None:
    upload = send(UploadKind.PORTRAIT, portrait_bytes, "image/jpeg")
    assert prober.run_next()
    probed = store.uploads.get(tenant, upload.id)
    assert probed.state is UploadState.READY
    assert probed.facts is not None
    assert (probed.facts.width_px, probed.facts.height_px) == (512, 512)
    assert probed.facts.face_box is not None
    assert list(scratch_folder.iterdir()) == []


def test_bad_files_are_rejected_and_good_ones_still_probed(
    store: Store, send: Send, prober: ProbeExecutor, tenant: str, speech_bytes: bytes
) -> None:
    uploads = [
        send(UploadKind.PORTRAIT, b"a letter", "image/png"),
        send(UploadKind.PORTRAIT, speech_bytes, "image/jpeg"),
        send(UploadKind.SPEECH, speech_bytes[:9000], "audio/wav"),
        # The type that its sender declares is the wrong one.
        send(UploadKind.SPEECH, speech_bytes, "audio/mpeg"),
    ]
    while prober.run_next():
        pass
    probed = [store.uploads.get(tenant, upload.id) for upload in uploads]
    assert [upload.error_code for upload in probed] == ["not_an_image", "not_an_image", "media_truncated", None]
    assert [upload.state for upload in probed] == [UploadState.REJECTED] * 3 + [UploadState.READY]
    assert all(upload.error_detail for upload in probed[:3])


def test_an_upload_without_its_object_is_rejected(
    store: Store, objects: Objects, send: Send, prober: ProbeExecutor, tenant: str, speech_bytes: bytes
) -> None:
    upload = send(UploadKind.SPEECH, speech_bytes, "audio/wav")
    objects.delete_many([upload.object_key])
    assert prober.run_next()
    assert store.uploads.get(tenant, upload.id).error_code == "upload_missing"


def test_a_defective_prober_quarantines_itself_and_rejects_no_file(
    store: Store, send: Send, prober: ProbeExecutor, tenant: str, speech_bytes: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("no decoder in this image")

    monkeypatch.setattr(probe, "probe", broken)
    monkeypatch.setattr(probe_failures, "probe", broken)
    upload = send(UploadKind.SPEECH, speech_bytes, "audio/wav")
    for _ in range(FAILURES_IN_A_ROW):
        assert prober.run_next()
        change(store, "UPDATE uploads SET lease_expires_at = now() - interval '1 s' WHERE lease_token IS NOT NULL")
        store.uploads.rescue_expired()
    with pytest.raises(QuarantinedError):
        prober.run_next()
    assert store.uploads.get(tenant, upload.id).state is UploadState.PROBING


def test_bad_files_quarantine_no_prober(send: Send, prober: ProbeExecutor, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise NotAnImageError

    monkeypatch.setattr(probe, "probe", refuse)
    for _ in range(FAILURES_IN_A_ROW):
        send(UploadKind.PORTRAIT, b"a letter", "image/png")
        assert prober.run_next()
    assert prober.health.counts.read("prober") == (FAILURES_IN_A_ROW, 0.0)
    assert not prober.run_next()
    assert prober.health.counts.read("prober") == (0, 0.0)


def test_a_defect_of_the_prober_rejects_no_file(
    store: Store,
    send: Send,
    prober: ProbeExecutor,
    tenant: str,
    speech_bytes: bytes,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("no decoder in this image")

    upload = send(UploadKind.SPEECH, speech_bytes, "audio/wav")
    monkeypatch.setattr(probe, "probe", broken)
    assert prober.run_next()
    assert not prober.run_next()
    left = store.uploads.get(tenant, upload.id)
    assert (left.state, left.error_code) == (UploadState.PROBING, None)


def test_a_prober_whose_decoders_crash_rejects_no_file(
    store: Store, send: Send, prober: ProbeExecutor, tenant: str, speech_bytes: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    replaced(monkeypatch, CRASH)
    upload = send(UploadKind.SPEECH, speech_bytes, "audio/wav")
    assert prober.run_next()
    with pytest.raises(QuarantinedError):
        prober.run_next()
    assert store.uploads.get(tenant, upload.id).state is UploadState.PROBING


def test_a_file_that_crashes_decoders_is_rejected_at_its_second_attempt(
    store: Store, send: Send, prober: ProbeExecutor, tenant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload = send(UploadKind.SPEECH, b"a crash", "audio/wav")
    with monkeypatch.context() as crashing:
        replaced(crashing, CRASH)
        assert prober.run_next()
    change(store, "UPDATE uploads SET probe_after = now() + interval '1 h'")
    assert not prober.run_next(), "the self-test succeeds, and the file has a pause"
    change(store, "UPDATE uploads SET probe_after = now()")
    replaced(monkeypatch, CRASH)
    assert prober.run_next()
    assert store.uploads.get(tenant, upload.id).error_code == "media_truncated"
