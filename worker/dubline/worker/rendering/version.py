"""The version of the renderer: a hash of everything that the bytes of motion and segments depend on beside the job.

It is computed and not counted up by hand, so that no change of the code can keep it. A changed comment changes it, too:
then a job that is half done is rendered again, and nothing else happens.
"""

from __future__ import annotations

import hashlib
import platform
import re
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Final

import torch

import dubline.framing
import dubline.models
from dubline.models.precision import supports_bf16
from dubline.orchestration.domain import video_size
from dubline.worker import media, rendering
from dubline.worker.media import ffmpeg_build

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

#: The packages, and the module, whose source files determine pixels.
SOURCES: Final = (dubline.framing, dubline.models, video_size, media, rendering)
#: The libraries of the extras `worker` and `gpu`.
LIBRARIES: Final = (
    "av",
    "dlib-bin",
    "einops",
    "ffmpeg-python",
    "imageio-ffmpeg",
    "mamba-ssm",
    "ncnn",
    "numpy",
    "opencv-python-headless",
    "pillow",
    "safetensors",
    "silero-vad",
    "torch",
)
#: Descriptions of all processors on Linux, and the lines in them that name maker and model, on x86 and on Arm.
PROCESSORS: Final = Path("/proc/cpuinfo")
PROCESSOR_FACT: Final = re.compile(
    r"^(?:vendor_id|cpu family|model|CPU (?:implementer|architecture|variant|part))\s*:.*$", re.MULTILINE
)


@cache
def renderer_sha256(device: torch.device) -> str:
    """Return the version of the renderer on a device, 64 hexadecimal digits.

    Raises:
        EncoderFailedError: ffmpeg cannot be started or does not tell its version.
    """
    digest = hashlib.sha256()
    for part in (*_sources(), *_libraries(), ffmpeg_build.read(), device_class(device)):
        digest.update(len(part).to_bytes(8, "big") + part)
    return digest.hexdigest()


def device_class(device: torch.device) -> bytes:
    """Return the name of the devices that compute the same bits: processor, kind and number format.

    The processor counts on a GPU too: it prepares pixels and speech.
    """
    facts = [*_processor(), device.type, f"bf16={supports_bf16(device)}"]
    if device.type == "cuda":
        facts += [torch.cuda.get_device_name(device), str(torch.version.cuda), str(torch.backends.cudnn.version())]
    return " ".join(facts).encode()


def _processor() -> Iterator[str]:
    """Yield what libraries choose their code by: instruction set, and maker and model of the processor.

    Those of linear algebra compute other bits on processors of one instruction set.
    """
    yield platform.machine()
    yield torch.backends.cpu.get_cpu_capability()
    try:
        # Of the first processor.
        described, _, _ = PROCESSORS.read_text(errors="replace").partition("\n\n")
    except OSError:
        # Systems other than Linux.
        yield platform.processor()
    else:
        yield from sorted(PROCESSOR_FACT.findall(described))


def _sources(parts: tuple[ModuleType, ...] = SOURCES) -> Iterator[bytes]:
    """Yield the name and the bytes of each source file, in order."""
    for part in parts:
        if hasattr(part, "__path__"):
            folder = Path(part.__path__[0])
            paths = sorted(folder.rglob("*.py"))
        else:
            paths = [Path(str(part.__file__))]
            folder = paths[0].parent
        for path in paths:
            yield f"{part.__name__}/{path.relative_to(folder).as_posix()}".encode()
            yield path.read_bytes()


def _libraries() -> Iterator[bytes]:
    """Yield the name and the installed version of each library; a missing one has none."""
    for name in LIBRARIES:
        try:
            yield f"{name}=={metadata.version(name)}".encode()
        except metadata.PackageNotFoundError:
            yield name.encode()
