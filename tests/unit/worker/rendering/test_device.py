from __future__ import annotations

import errno
from types import SimpleNamespace

import cv2
import pytest
import torch
from prometheus_client import REGISTRY

from dubline.orchestration.domain.errors import DeviceFailedError, OutOfMemoryError
from dubline.worker.rendering import device


def opencv_error(code: int) -> cv2.error:
    error = cv2.error("Failed to allocate 1 bytes")
    error.code = code
    return error


@pytest.mark.parametrize(
    ("error", "translated"),
    [
        (MemoryError(), OutOfMemoryError),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), OutOfMemoryError),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"), OutOfMemoryError),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), OutOfMemoryError),
        (torch.AcceleratorError("CUDA error: out of memory"), OutOfMemoryError),
        (torch.AcceleratorError("CUDA error: device-side assert triggered"), DeviceFailedError),
        (RuntimeError("CUDA error: an illegal memory access was encountered"), DeviceFailedError),
        (RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"), DeviceFailedError),
        (RuntimeError("Triton Error [CUDA]: an illegal memory access was encountered"), DeviceFailedError),
        (RuntimeError("The size of tensor a (3) must match the size of tensor b (4)"), None),
        (ValueError("CUDA error"), None),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), OutOfMemoryError),
        (OSError(errno.EPIPE, "Broken pipe"), None),
        (opencv_error(cv2.Error.StsNoMem), OutOfMemoryError),
        (opencv_error(cv2.Error.StsBadArg), None),
    ],
)
def test_errors_of_the_device_are_translated(error: Exception, translated: type | None) -> None:
    found = device.translate(error)
    assert found is None if translated is None else type(found) is translated


def test_the_cpu_allocator_uses_a_known_message() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(1 << 60, dtype=torch.uint8)
    assert isinstance(device.translate(caught.value), OutOfMemoryError)


def test_a_device_that_does_not_exist_is_refused() -> None:
    with pytest.raises(RuntimeError, match="abacus"):
        device.choose("abacus")


def test_the_memory_of_the_process_is_published_on_a_cpu() -> None:
    device.publish_memory(torch.device("cpu"))
    used = REGISTRY.get_sample_value("dubline_worker_memory_used_bytes", {"device": "cpu"}) or 0
    peak = REGISTRY.get_sample_value("dubline_worker_memory_peak_bytes", {"device": "cpu"}) or 0
    assert 10e6 < used <= peak


def test_the_same_bits_are_computed_every_time_and_not_rounded_to_tf32() -> None:
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = True
    torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic = True, False
    threads = torch.get_num_threads(), cv2.getNumThreads()
    torch.set_num_threads(2)
    cv2.setNumThreads(2)
    device.make_deterministic()
    made = torch.get_num_threads(), cv2.getNumThreads()
    torch.set_num_threads(threads[0])
    cv2.setNumThreads(threads[1])
    assert made == (1, 1)
    assert torch.backends.cudnn.deterministic
    assert not torch.backends.cudnn.benchmark
    assert not torch.backends.cudnn.allow_tf32
    assert not torch.backends.cuda.matmul.allow_tf32


@pytest.mark.parametrize(("memory_gib", "batch"), [(4, 8), (8, 8), (15, 8), (24, 16), (47, 32), (140, 32)])
def test_a_gpu_computes_as_many_frames_at_once_as_fit(
    memory_gib: int, batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    properties = SimpleNamespace(total_memory=memory_gib << 30)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: properties)
    assert device.render_batch(8, torch.device("cuda"), 1648) == batch


@pytest.mark.parametrize(
    ("preset", "crop_px", "batch"),
    [(4, 64, 12), (4, 836, 12), (4, 837, 8), (4, 1024, 8), (4, 1040, 4), (4, 2272, 4), (8, 64, 12)],
)
def test_a_cpu_computes_more_frames_of_small_crops_at_once(preset: int, crop_px: int, batch: int) -> None:
    assert device.render_batch(preset, torch.device("cpu"), crop_px) == batch


@pytest.mark.parametrize(("crop_px", "trims"), [(592, False), (1024, False), (1040, True)])
def test_memory_is_returned_in_jobs_of_large_crops(crop_px: int, trims: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    trimmed: list[int] = []
    monkeypatch.setattr(device.ctypes, "CDLL", lambda _: SimpleNamespace(malloc_trim=trimmed.append))
    device.trim_memory(crop_px)
    assert bool(trimmed) == trims
