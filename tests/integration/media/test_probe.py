from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
from collections import defaultdict, deque
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.unit.worker import media_files as media

from dubline.orchestration.domain.errors import DublineError, LeaseLostError, MediaTruncatedError
from dubline.orchestration.domain.uploads import UploadFacts, UploadKind
from dubline.orchestration.settings import LimitSettings
from dubline.worker.media import decoder, examine, forks, probe, template

PORTRAIT, SPEECH = UploadKind.PORTRAIT, UploadKind.SPEECH


def probed(path: Path, kind: UploadKind) -> UploadFacts:
    return probe.probe(path, kind, LimitSettings())


def test_the_facts_of_a_portrait(portrait_file: Path) -> None:
    facts = probed(portrait_file, PORTRAIT)
    assert (facts.media_type, facts.width_px, facts.height_px) == ("image/png", 512, 512)
    assert facts.size_bytes == portrait_file.stat().st_size
    assert facts.sha256 == hashlib.sha256(portrait_file.read_bytes()).hexdigest()
    assert facts.face_box is not None
    assert facts.face_box == pytest.approx((176, 76, 271, 171), abs=10)
    assert facts.duration_s is None


def test_a_picture_of_each_format_is_decoded_in_the_sandbox(tmp_path: Path, astronaut: Image.Image) -> None:
    for image_format in ("PNG", "JPEG", "WEBP", "AVIF"):
        astronaut.save(tmp_path / "portrait", image_format)
        assert probed(tmp_path / "portrait", PORTRAIT).media_type == f"image/{image_format.lower()}"


def test_the_facts_of_a_speech_track(tmp_path: Path, speech_file: Path) -> None:
    facts = probed(media.convert(speech_file, tmp_path / "a.mp3"), SPEECH)
    assert (facts.media_type, facts.duration_s) == ("audio/mpeg", pytest.approx(1.0, abs=0.001))
    assert facts.face_box is None


def bad_files(folder: Path, astronaut: Image.Image) -> dict[str, tuple[bytes, UploadKind]]:
    def png(image: Image.Image) -> bytes:
        image.save(folder / "made.png", compress_level=1)
        return (folder / "made.png").read_bytes()

    def wav(samples: np.ndarray) -> bytes:
        return media.wav(folder / "made.wav", samples).read_bytes()

    faint = Image.new("RGB", (3000, 3000), (90, 110, 120))
    faint.paste(astronaut.resize((420, 420)), (100, 100))
    return {
        "empty_upload": (b"", PORTRAIT),
        "not_an_image": (b"a letter", PORTRAIT),
        "no_face": (png(Image.new("RGB", (64, 64), "teal")), PORTRAIT),
        "image_too_small": (png(Image.new("RGB", (1, 1))), PORTRAIT),
        "image_too_large": (png(Image.new("1", (9000, 9000))), PORTRAIT),
        "media_truncated": (png(astronaut)[:100_000], PORTRAIT),
        "not_audio": (png(astronaut), SPEECH),
        "speech_silent": (wav(np.zeros(16_000)), SPEECH),
        "speech_too_short": (wav(media.tone(0.05)), SPEECH),
        "a small face: face_too_small": (png(faint), PORTRAIT),
        "truncated speech: media_truncated": (wav(media.tone(1))[:9000], SPEECH),
    }


def test_each_bad_file_gives_its_code_and_a_sentence(
    tmp_path: Path, astronaut: Image.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    # In this process, because a process per file is slow; other tests start processes.
    monkeypatch.setattr(probe, "_examine", lambda question, path, _: examine.examine(question, media.opened(path)))
    for name, (data, kind) in bad_files(tmp_path, astronaut).items():
        path = tmp_path / "upload"
        path.write_bytes(data)
        with pytest.raises(DublineError) as caught:
            probed(path, kind)
        assert caught.value.code == name.rpartition(" ")[2], name
        assert caught.value.detail.endswith((".", "WebM.")), name
        assert str(tmp_path) not in caught.value.detail


def test_speech_above_the_limit_is_too_long(speech_file: Path) -> None:
    limits = LimitSettings().model_copy(update={"speech_s": 0.5})
    with pytest.raises(DublineError) as caught:
        probe.probe(speech_file, SPEECH, limits)
    assert caught.value.code == "speech_too_long"


def replaced(monkeypatch: pytest.MonkeyPatch, script: str) -> list[int]:
    """Start a script instead of the process that imports decoders and forks; return the ids of what is started."""
    start, started = subprocess.Popen, []

    def instead(command: list[str], **options: Any) -> Any:
        process = start([sys.executable, "-c", script, *command[-1:]], **options)
        started.append(process.pid)
        return process

    monkeypatch.setattr(subprocess, "Popen", instead)
    # None that was started before.
    monkeypatch.setattr(forks, "_free", defaultdict(deque))
    return started


#: Answers with an error that is not the file's, crashes, or never answers, by the first bytes of the file.
FORKS = """
import ctypes, sys, time
from dubline.worker.media import template
def task(asked, files):
    read = files[0].read(4)
    if read == b"hang":
        time.sleep(3600)
    if read == b"kill":
        ctypes.string_at(0)
    yield b"{"
sys.exit(template.serve(task))
"""


@pytest.fixture
def file_of(tmp_path: Path) -> Any:
    def written(data: bytes) -> Path:
        (tmp_path / "file").write_bytes(data)
        return tmp_path / "file"

    return written


def answered(path: Path) -> bytes:
    with decoder.started("examine", [path], lambda: None) as process:
        return b"".join(process.ask({}, 100))


def test_one_process_forks_for_all_files_until_a_fork_crashes(monkeypatch: pytest.MonkeyPatch, file_of: Any) -> None:
    started = replaced(monkeypatch, FORKS)
    assert [answered(file_of(b"good")) for _ in range(3)] == [b"{"] * 3
    assert len(started) == 1
    with pytest.raises(MediaTruncatedError) as caught:
        answered(file_of(b"kill"))
    assert caught.value.crashed
    # The next fork has another layout of memory.
    assert answered(file_of(b"good")) == b"{"
    assert len(started) == 2


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_fork_that_hangs_is_ended_and_its_parent_forks_again(monkeypatch: pytest.MonkeyPatch, file_of: Any) -> None:
    started = replaced(monkeypatch, FORKS)
    assert answered(file_of(b"good")) == b"{"
    with monkeypatch.context() as hasty:
        hasty.setattr(decoder, "TIME_LIMIT_S", 0.2)
        with pytest.raises(MediaTruncatedError, match="too long to decode"):
            answered(file_of(b"hang"))
    assert not Path(f"/proc/{started[0]}/task/{started[0]}/children").read_text()
    assert answered(file_of(b"good")) == b"{"
    assert len(started) == 1


def test_a_process_that_replies_too_late_is_replaced(monkeypatch: pytest.MonkeyPatch, file_of: Any) -> None:
    started = replaced(monkeypatch, FORKS)
    assert answered(file_of(b"good")) == b"{"
    with file_of(b"good").open("rb") as file:
        fork = forks.fork("examine", [file.fileno()])
    with monkeypatch.context() as hasty:
        hasty.setattr(forks, "STATUS_LIMIT_S", 0.05)
        hasty.setattr(template, "EXIT_LIMIT_S", 0.05)
        os.kill(started[0], signal.SIGSTOP)
        assert fork.exit_code() is None
    os.kill(started[0], signal.SIGCONT)
    fork.end("examine")
    # Its answer is not taken for that about the next fork.
    with pytest.raises(MediaTruncatedError):
        answered(file_of(b"kill"))
    assert len(started) == 2


def test_a_process_that_ended_while_idle_is_replaced(monkeypatch: pytest.MonkeyPatch, file_of: Any) -> None:
    started = replaced(monkeypatch, FORKS)
    assert answered(file_of(b"good")) == b"{"
    os.kill(started[0], signal.SIGKILL)
    os.waitpid(started[0], 0)
    assert answered(file_of(b"good")) == b"{"
    assert len(started) == 2


def test_a_process_that_ended_before_its_first_file_counts_as_a_crash(
    monkeypatch: pytest.MonkeyPatch, file_of: Any
) -> None:
    replaced(monkeypatch, "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)")
    start = subprocess.Popen

    def ended(command: list[str], **options: Any) -> Any:
        process: Any = start(command, **options)
        process.wait()
        return process

    monkeypatch.setattr(subprocess, "Popen", ended)
    with pytest.raises(MediaTruncatedError) as caught:
        answered(file_of(b"good"))
    assert caught.value.crashed


def test_a_file_that_crashes_its_examination_is_rejected(monkeypatch: pytest.MonkeyPatch, speech_file: Path) -> None:
    replaced(monkeypatch, "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)")
    with pytest.raises(MediaTruncatedError, match="within limits"):
        probed(speech_file, SPEECH)


def test_an_examination_killed_from_outside_rejects_no_file(monkeypatch: pytest.MonkeyPatch, speech_file: Path) -> None:
    replaced(monkeypatch, "import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    with pytest.raises(RuntimeError, match="signal 9"):
        probed(speech_file, SPEECH)


def test_a_file_that_decodes_too_slowly_is_rejected(monkeypatch: pytest.MonkeyPatch, speech_file: Path) -> None:
    replaced(monkeypatch, "import signal; signal.pause()")
    monkeypatch.setattr(decoder, "TIME_LIMIT_S", 0.2)
    with pytest.raises(MediaTruncatedError, match="too long to decode"):
        probed(speech_file, SPEECH)


def test_a_lost_lease_stops_the_examination(monkeypatch: pytest.MonkeyPatch, speech_file: Path) -> None:
    replaced(monkeypatch, "import signal; signal.pause()")

    def lose() -> None:
        raise LeaseLostError

    with pytest.raises(LeaseLostError):
        probe.probe(speech_file, SPEECH, LimitSettings(), lose)


def test_a_failed_examination_rejects_no_file(monkeypatch: pytest.MonkeyPatch, speech_file: Path) -> None:
    replaced(monkeypatch, "raise ImportError('no decoder')")
    with pytest.raises(RuntimeError, match="no decoder"):
        probed(speech_file, SPEECH)


def test_the_examination_gets_no_credentials(monkeypatch: pytest.MonkeyPatch, speech_file: Path) -> None:
    monkeypatch.setenv("DUBLINE_DATABASE_URL", "postgresql+psycopg://dubline:hush@db/dubline")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hush")
    replaced(monkeypatch, "import os, json; raise SystemExit(json.dumps(dict(os.environ)))")
    with pytest.raises(RuntimeError) as caught:
        probed(speech_file, SPEECH)
    assert '"PATH"' in str(caught.value)
    assert "hush" not in str(caught.value)
    assert "DUBLINE_" not in str(caught.value)


def test_the_memory_of_a_decoder_is_limited() -> None:
    script = "from dubline.worker.media import sandbox; sandbox.limit(); bytearray(3 << 30)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=False)
    assert b"MemoryError" in done.stderr


def test_a_file_that_needs_too_much_memory_is_rejected(monkeypatch: pytest.MonkeyPatch, speech_file: Path) -> None:
    exhaust = "def exhaust(*_):\n    raise MemoryError\n"
    work = "from dubline.worker.media import template; raise SystemExit(template.serve(exhaust))"
    replaced(monkeypatch, exhaust + work)
    with pytest.raises(MediaTruncatedError, match="too much memory"):
        probed(speech_file, SPEECH)


def test_the_prober_and_the_parent_do_not_import_torch() -> None:
    script = "import sys, dubline.worker.executors.probe, dubline.worker.__main__; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
