"""The device of the networks: selection, deterministic settings, and translation of its errors."""

from __future__ import annotations

import ctypes
import errno
import gc
import re
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final

import cv2
import torch

from dubline.orchestration.domain.errors import DeviceFailedError, DublineError, OutOfMemoryError
from dubline.worker.runtime import metrics, processors

#: Messages of torch, the CUDA libraries and Triton for a failed allocation, after which the device still works.
OUT_OF_MEMORY: Final = ("out of memory", "can't allocate memory", "CUBLAS_STATUS_ALLOC_FAILED")
#: Messages of all other device errors, after which every later call of this process fails too.
BROKEN: Final = ("CUDA error", "CUDA driver error", "cuDNN error", "CUDNN_STATUS_", "Triton Error [CUDA]")

#: Memory of one frame of the largest crop with its margins, counted from the tensors of `on_device`: 16 floats a pixel.
FRAME_BYTES: Final = 16 * 4 * 2125**2
#: A batch takes at most one part in so many of the GPU's memory.
SHARE: Final = 4
#: More frames would add memory and no speed, and a segment has 120.
MOST_FRAMES: Final = 32
#: Frames of a batch on a CPU, the first that fits: they divide a segment, and so do their halves. Among more frames
#: fewer are key frames, but threads wait longer for each other at the end.
CPU_FRAMES: Final = (12, 8)
#: Most pixels of the crops of one batch there: finished crops of a few batches wait for the encoder.
MOST_CPU_PX: Final = 8 * 1024**2
#: Largest side of a crop, px, of which a job takes so little memory that what is free need not be returned.
SMALL_PX: Final = 1024
#: Batches that are on an accelerator at once: one is submitted while the pixels of the other are copied.
QUEUED_BATCHES: Final = 2


def choose(name: str) -> torch.device:
    """Convert a setting to a device.

    Args:
        name: "auto" (CUDA if available, else the CPU), "cpu", or any torch device name.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(name)


def make_deterministic() -> None:
    """Make this process compute the same bits for the same input every time. Call it before any network."""
    use_one_thread()
    # Batches are computed by threads of our own.
    cv2.setNumThreads(1)
    # cuDNN's benchmark mode selects kernels by measured time.
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True
    # Deviation maps are differences of large values: TF32 would move pixels by up to one.
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False


def render_batch(preset_batch: int, on: torch.device, crop_px: float) -> int:
    """Return how many frames the networks compute at once: those of the preset, and more where there is memory.

    At the preset's batch most of a GPU waits for kernels to be launched. On a CPU fewer of the frames are key frames:
    with TINY .50 of 8 and .45 of 12. The batch is part of the render fingerprint.

    Args:
        preset_batch: of the preset.
        on: the device.
        crop_px: side of the crop in the video, or an upper bound of it.
    """
    if on.type != "cuda":
        fitting = (count for count in CPU_FRAMES if count * crop_px**2 <= MOST_CPU_PX)
        return max(preset_batch, next(fitting, preset_batch))
    room = torch.cuda.get_device_properties(on).total_memory // (SHARE * FRAME_BYTES)
    batch = preset_batch
    while 2 * batch <= min(room, MOST_FRAMES):
        batch *= 2
    return batch


def use_one_thread() -> None:
    """Compute each operation of torch with the calling thread alone.

    Torch splits sums and the ends of vectors by thread, and their bits then depend on the number of processors: group
    norm, softmax, sigmoid, resizing, convolutions and the pseudo-inverse do.
    """
    torch.set_num_threads(1)


def compute_threads(on: torch.device) -> int:
    """Return how many batches are computed at once: on a CPU one by each processor that this process may use."""
    return processors.usable() if on.type == "cpu" else QUEUED_BATCHES


def release_memory() -> None:
    """Return memory that is not in use to the device: tensors of cycles first, then what the allocator keeps."""
    gc.collect()
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()


def trim_memory(crop_px: float) -> None:
    """Return freed memory of all threads to the system: glibc keeps it for each thread. No effect elsewhere.

    Args:
        crop_px: side of the crop of the job that goes on. Jobs of small crops keep the memory for their frames: to get
            it back would take 2 % of their time.
    """
    if crop_px <= SMALL_PX:
        return
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def publish_memory(on: torch.device) -> None:
    """Publish the memory that this process uses: on a GPU what torch has reserved, on a CPU that of the process."""
    if on.type == "cuda":
        used, peak = partial(torch.cuda.memory_reserved, on), partial(torch.cuda.max_memory_reserved, on)
    else:
        used, peak = partial(_process_bytes, "VmRSS"), partial(_process_bytes, "VmHWM")
    metrics.MEMORY_USED.labels(on.type).set_function(used)
    metrics.MEMORY_PEAK.labels(on.type).set_function(peak)


def _process_bytes(name: str) -> int:
    """Read a size of this process; 0 where the system does not have it."""
    try:
        match = re.search(rf"^{name}:\s*(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
    except OSError:
        return 0
    return 1024 * int(match[1]) if match else 0


def translate(error: BaseException) -> DublineError | None:
    """Translate a device error: too little memory, or a device that this process can no longer use.

    Returns:
        None for every other exception.
    """
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)) or _lacks_memory(error):
        return OutOfMemoryError()
    if not isinstance(error, RuntimeError):
        return None
    message = str(error)
    if any(part in message for part in OUT_OF_MEMORY):
        return OutOfMemoryError()
    if isinstance(error, torch.AcceleratorError) or any(part in message for part in BROKEN):
        return DeviceFailedError()
    return None


def _lacks_memory(error: BaseException) -> bool:
    """Tell whether OpenCV had too little memory, or the system for a mapped file or a new process."""
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    return isinstance(error, cv2.error) and error.code == cv2.Error.StsNoMem
