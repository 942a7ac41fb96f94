"""The scan of Mamba-2 in chunks, beside its reference and beside attention of the same width."""

from __future__ import annotations

import statistics
import time
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import torch
from torch.nn import functional

from dubline.models.presets import PRESETS
from dubline.models.stage2.selective_scan import ScanInputs, chunked_scan, reference_scan

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

#: Steps: a window with its margins, and recordings of 20 s, 80 s and 5 minutes.
STEPS: Final = (84, 500, 2000, 7500)
REPEATS: Final = 5


@torch.inference_mode()
def measure(steps: tuple[int, ...] = STEPS, repeats: int = REPEATS) -> Iterator[dict[str, Any]]:
    """Yield the processor time of each way for each number of steps, at BASE's sizes: medians, ms.

    Every way is run in each round, so that the load of the machine affects all alike.
    """
    params = PRESETS["base"].diffusion
    heads = 2 * params.audio_width // params.head_width
    for length in steps:
        inputs = _inputs(length, heads, params.head_width, params.state)
        state = torch.zeros(1, heads, params.head_width, params.state)
        query = torch.randn(1, heads, length, params.head_width)
        ways: dict[str, Callable[[], object]] = {
            "chunked": partial(chunked_scan, inputs, state),
            "reference": partial(reference_scan, inputs, state),
            "attention": partial(functional.scaled_dot_product_attention, query, query, query, is_causal=True),
        }
        times: dict[str, list[float]] = {name: [] for name in ways}
        for number in range(repeats + 1):
            for name, way in ways.items():
                began_s = time.process_time()
                way()
                if number:  # the first round is not counted
                    times[name].append(1000 * (time.process_time() - began_s))
        yield {"name": f"{length} steps", **{f"{name}_ms": statistics.median(each) for name, each in times.items()}}


def _inputs(length: int, heads: int, width: int, state: int) -> ScanInputs:
    generator = torch.Generator().manual_seed(0)

    def random(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator)

    x, b, c = random(1, length, heads, width), random(1, length, state), random(1, length, state)
    dt, decay = functional.softplus(random(1, length, heads)), -random(heads).abs()
    return ScanInputs(x, dt, decay, b, c, random(heads))
