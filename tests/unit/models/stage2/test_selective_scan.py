"""The chunked scan equals the recurrence of the paper."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest
import structlog
import torch
from torch import Tensor

from dubline.models.stage2.mamba import Mamba2
from dubline.models.stage2.selective_scan import ScanInputs, chunked_scan, kernels, reference_scan

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def inputs(steps: int) -> tuple[ScanInputs, Tensor]:
    torch.manual_seed(steps)
    x, b, c = torch.randn(2, steps, 3, 4), torch.randn(2, steps, 5), torch.randn(2, steps, 5)
    scan = ScanInputs(x, torch.rand(2, steps, 3), -4 * torch.rand(3), b, c, torch.randn(3))
    return scan, torch.randn(2, 3, 4, 5)


@pytest.mark.parametrize("steps", [1, 31, 32, 33, 200])
def test_the_chunked_scan_equals_the_reference(steps: int) -> None:
    given, state = inputs(steps)
    fast, after_fast = chunked_scan(given, state)
    slow, after_slow = reference_scan(given, state)
    torch.testing.assert_close(fast, slow, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(after_fast, after_slow, atol=1e-4, rtol=1e-4)


def test_gradients_of_the_chunked_scan_equal_those_of_the_reference() -> None:
    gradients = []
    for scan in (chunked_scan, reference_scan):
        given, state = inputs(40)
        leaves = [tensor.clone().requires_grad_() for tensor in given]
        scan(ScanInputs(*leaves), state)[0].square().sum().backward()
        gradients.append([leaf.grad for leaf in leaves])
    for fast, slow in zip(*gradients, strict=True):
        torch.testing.assert_close(fast, slow, atol=1e-2, rtol=1e-3)


def test_a_mixer_has_the_parameters_of_the_mamba_ssm_package() -> None:
    shapes = {name: tuple(p.shape) for name, p in Mamba2(64, state=128, head_width=16).named_parameters()}
    assert shapes == {
        "in_proj.weight": (520, 64),
        "conv1d.weight": (384, 1, 4),
        "conv1d.bias": (384,),
        "dt_bias": (8,),
        "A_log": (8,),
        "D": (8,),
        "norm.weight": (128,),
        "out_proj.weight": (64, 128),
    }


@pytest.mark.parametrize("lengths", [[1] * 50, [7, 40, 3], [50]])
def test_a_mixer_gives_the_same_result_in_chunks(lengths: list[int]) -> None:
    torch.manual_seed(0)
    mixer = Mamba2(32, state=16, head_width=8)
    x = torch.randn(2, 50, 32)
    whole, last = mixer(x, mixer.start(2))
    state, parts = mixer.start(2), []
    for chunk in x.split(lengths, dim=1):
        part, state = mixer(chunk, state)
        parts.append(part)
    torch.testing.assert_close(torch.cat(parts, dim=1), whole, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(state.scan, last.scan, atol=1e-5, rtol=1e-4)


def test_a_mixer_is_causal() -> None:
    torch.manual_seed(0)
    mixer = Mamba2(32, state=16, head_width=8)
    x = torch.randn(1, 40, 32)
    changed = torch.cat([x[:, :20], torch.randn(1, 20, 32)], dim=1)
    before, after = (mixer(signal, mixer.start(1))[0] for signal in (x, changed))
    torch.testing.assert_close(before[:, :20], after[:, :20])
    assert not torch.allclose(before[:, 20:], after[:, 20:])


SIZES = (torch.device("cpu"), 24, 16, torch.float32)
#: Stands in for the package on machines without CUDA.
WORKING = """
from dubline.models.stage2.selective_scan import ScanInputs, chunked_scan

def mamba_chunk_scan_combined(x, dt, decay, b, c, chunk, D, initial_states, return_final_states):
    return chunked_scan(ScanInputs(x, dt, decay, b[:, :, 0], c[:, :, 0], D), initial_states)
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The file of the kernels in a package `mamba_ssm` that can be imported."""
    file = tmp_path / "mamba_ssm" / "ops" / "triton" / "ssd_combined.py"
    file.parent.mkdir(parents=True)
    monkeypatch.syspath_prepend(tmp_path)
    kernels.cache_clear()
    yield file
    for name in [name for name in sys.modules if name.split(".")[0] == "mamba_ssm"]:
        del sys.modules[name]
    kernels.cache_clear()


@pytest.mark.parametrize(
    "text",
    [
        "raise ImportError('libcuda.so.1: cannot open shared object file')",
        "def mamba_chunk_scan_combined(*_, **__): raise RuntimeError('Failed to find C compiler')",
        "def mamba_chunk_scan_combined(x, *_, initial_states, **__): return x, initial_states  # 'differs by'",
    ],
)
def test_kernels_that_do_not_work_are_logged_once(package: Path, text: str) -> None:
    package.write_text(text)
    with structlog.testing.capture_logs() as events:
        assert [kernels(*SIZES) for _ in range(3)] == [None] * 3
    (event,) = events
    assert event["event"] == "kernels_not_usable"
    assert text.split("'")[1] in event["reason"]


def test_kernels_that_are_not_installed_are_not_logged() -> None:
    kernels.cache_clear()
    with structlog.testing.capture_logs() as events:
        assert kernels(*SIZES) is None
    assert events == []


def test_kernels_that_work_are_used(package: Path) -> None:
    package.write_text(WORKING)
    with structlog.testing.capture_logs() as events:
        assert kernels(*SIZES) is not None
    assert events == []
