# ruff: noqa: PLR0913, PLR0917 - a test takes the fixtures it needs
from __future__ import annotations

import hashlib
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import av
import numpy as np
import pytest
from pydantic import ValidationError
from tests.integration.worker.certificates import SIGNER, write_signer

from dubline.client.runs.manifest_state import manifest_state
from dubline.client.runs.video_mark import job_named_in
from dubline.options.render import RenderOptions
from dubline.orchestration.domain.errors import ScratchFullError
from dubline.orchestration.domain.jobs import JobState, NewJob
from dubline.worker.executors.error_translation import translate
from dubline.worker.executors.factory import WorkerContext, renderer_with
from dubline.worker.media import mux
from dubline.worker.media.provenance import Provenance, ProvenanceError
from dubline.worker.runtime.liveness import LivenessFile
from dubline.worker.runtime.shutdown import Shutdown
from dubline.worker.settings import ProvenanceSettings, WorkerSettings

if TYPE_CHECKING:
    from uuid import UUID

    from dubline.orchestration.database.store import Store
    from dubline.orchestration.settings import BucketSettings, DatabaseSettings
    from dubline.orchestration.storage.objects import Objects
    from dubline.worker.executors.render import RenderExecutor
    from dubline.worker.rendering.pipeline import Renderer

pytest.importorskip("c2pa", reason="c2pa-python is not installed")


def settings_of(certificate: Path, key: Path, algorithm: str = "es256") -> ProvenanceSettings:
    given = {"certificate_file": str(certificate), "key_file": str(key), "algorithm": algorithm}
    return ProvenanceSettings.model_validate(given)


@pytest.fixture(scope="module")
def provenance(tmp_path_factory: pytest.TempPathFactory) -> Provenance:
    return Provenance(settings_of(*write_signer(tmp_path_factory.mktemp("signer"))))


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished video without a manifest."""
    folder = tmp_path_factory.mktemp("video")
    still = [np.full((96, 64), 16 + shade, dtype=np.uint8) for shade in range(5)]
    mux.encode_segment(iter(still), 64, 64, folder / "segment.mp4")
    sound = [np.zeros((mux.AUDIO_HZ // 5, 1), np.int32)]
    mux.encode_sound(sound, 1, folder / "sound.mp4", 0.2)
    mux.join([folder / "segment.mp4"], folder / "sound.mp4", folder / "video.mp4", 0.2, mark="a mark")
    return folder / "video.mp4"


def test_a_signed_video_has_a_valid_manifest_and_the_same_frames(provenance: Provenance, video: Path) -> None:
    signed = provenance.sign(video, "a.mp4")
    assert manifest_state(signed) == f"valid, of a signer that is on no trust list; signed by {SIGNER}"
    with av.open(str(signed)) as file, av.open(str(video)) as plain:
        assert file.metadata["comment"] == "a mark"
        frames = [[frame.to_ndarray(format="gray").tobytes() for frame in one.decode(video=0)] for one in (file, plain)]
    assert frames[0] == frames[1]


def test_a_changed_byte_makes_the_manifest_invalid(provenance: Provenance, video: Path, tmp_path: Path) -> None:
    content = bytearray(provenance.sign(video, "a.mp4").read_bytes())
    content[len(content) * 2 // 3] ^= 255
    (tmp_path / "changed.mp4").write_bytes(content)
    assert manifest_state(tmp_path / "changed.mp4").startswith("not valid: the file was changed")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_a_full_disk_is_told_while_a_video_is_signed(provenance: Provenance, video: Path, tmp_path: Path) -> None:
    shutil.copy(video, tmp_path / "video.mp4")
    (tmp_path / "signed-video.mp4").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left") as raised:
        provenance.sign(tmp_path / "video.mp4", "a.mp4")
    assert isinstance(translate(raised.value), ScratchFullError)


def test_files_without_a_manifest_have_none(video: Path, tmp_path: Path) -> None:
    (tmp_path / "junk.mp4").write_bytes(b"x" * 1000)
    (tmp_path / "empty.mp4").write_bytes(b"")
    assert manifest_state(video) == "none"
    assert manifest_state(tmp_path / "junk.mp4") == manifest_state(tmp_path / "empty.mp4") == "not readable"


@pytest.fixture
def configured(
    monkeypatch: pytest.MonkeyPatch,
    database: DatabaseSettings,
    bucket: BucketSettings,
    scratch_folder: Path,
    renderer: Renderer,
    tmp_path: Path,
) -> RenderExecutor:
    """The executor that a worker makes with a key in its environment."""
    certificate, key = write_signer(tmp_path)
    for name, value in {
        "DATABASE_URL": database.url.get_secret_value(),
        "BUCKET_NAME": bucket.name,
        "BUCKET_ENDPOINT_URL": bucket.endpoint_url,
        "BUCKET_ACCESS_KEY": bucket.access_key.get_secret_value(),
        "BUCKET_SECRET_KEY": bucket.secret_key.get_secret_value(),
        "PROVENANCE_CERTIFICATE_FILE": str(certificate),
        "PROVENANCE_KEY_FILE": str(key),
    }.items():
        monkeypatch.setenv(f"DUBLINE_{name}", value)
    context = WorkerContext(
        settings=WorkerSettings.read(), folder=scratch_folder, shutdown=Shutdown(), liveness=LivenessFile(None)
    )
    return renderer_with(context, renderer)


def test_a_result_is_signed_before_its_hash_is_taken(
    store: Store,
    objects: Objects,
    tenant: str,
    configured: RenderExecutor,
    ready: tuple[UUID, UUID],
    tmp_path: Path,
) -> None:
    new = NewJob(portrait_upload_id=ready[0], speech_upload_id=ready[1], options=RenderOptions(seed=3))
    job_id = store.jobs.insert(tenant, new).id
    with configured.store:
        assert configured.run_next()
    job = store.jobs.get(tenant, job_id)
    assert job.state is JobState.SUCCEEDED
    assert job.result_key is not None
    objects.get(job.result_key, tmp_path / "result.mp4", limit_bytes=10**9)
    content = (tmp_path / "result.mp4").read_bytes()
    assert (job.result_size_bytes, job.result_sha256) == (len(content), hashlib.sha256(content).hexdigest())
    assert manifest_state(tmp_path / "result.mp4").startswith("valid")
    assert job_named_in(tmp_path / "result.mp4") == str(job_id)


def test_without_a_key_videos_are_not_signed() -> None:
    assert Provenance.configured(ProvenanceSettings()) is None


def test_a_key_of_another_certificate_is_refused_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    certificate, _ = write_signer(tmp_path)
    _, key = write_signer(tmp_path / "other")
    with pytest.raises(ProvenanceError, match="cannot sign with its certificate"):
        Provenance(settings_of(certificate, key))


@pytest.mark.parametrize(("days", "algorithm"), [(-1, "es256"), (30, "ps256")])
def test_an_expired_or_unfit_certificate_is_refused_at_the_start(tmp_path: Path, days: float, algorithm: str) -> None:
    with pytest.raises(ProvenanceError, match=f"Check the algorithm .{algorithm}."):
        Provenance(settings_of(*write_signer(tmp_path, days), algorithm))


def test_a_missing_or_broken_file_is_refused_without_its_content(tmp_path: Path) -> None:
    certificate, key = write_signer(tmp_path)
    with pytest.raises(ProvenanceError, match=r"Cannot read .*nowhere.pem"):
        Provenance(settings_of(certificate, tmp_path / "nowhere.pem"))
    key.write_text("-----BEGIN PRIVATE KEY-----\nsecret\n")
    with pytest.raises(ProvenanceError) as caught:
        Provenance(settings_of(certificate, key))
    assert "secret" not in str(caught.value)


def test_a_key_without_the_package_is_a_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = write_signer(tmp_path)
    monkeypatch.setitem(sys.modules, "c2pa", None)
    with pytest.raises(ProvenanceError, match=r"Install dubline\[provenance\]"):
        Provenance.configured(settings_of(*files))
    assert manifest_state(files[0]) == "not read; install dubline[provenance]"


def test_a_key_needs_its_certificate(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="Set both"):
        ProvenanceSettings.model_validate({"key_file": str(tmp_path)})
