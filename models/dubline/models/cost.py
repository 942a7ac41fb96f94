"""Cost of a preset: parameters, size and floating-point operations: `python -m dubline.models.cost`.

A multiply-add counts 2. Convolutions, matrix products, attention, warps and resizing are counted; operations that are
limited by memory bandwidth (norms, activations, sums) and the Fourier transforms of the speech front end are not.
"""

from __future__ import annotations

import argparse
import json
import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch.utils.flop_counter import FlopCounterMode

from dubline.models.motion.readout import LinearReadout
from dubline.models.presets import PRESETS, Preset
from dubline.models.sampling import sample_motion
from dubline.models.stage1.autoencoder import Autoencoder
from dubline.models.stage2.diffusion import Diffusion
from dubline.models.weights import Networks
from dubline.options.output import exit_if_unread
from dubline.options.render import MotionControls

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from numpy.typing import NDArray
    from torch import nn

META: Final = torch.device("meta")


@dataclass(frozen=True)
class Cost:
    """Cost of one preset."""

    preset: str
    """Name of the preset."""
    parameters: dict[str, int]
    """Number of parameters of each part of both stages."""
    size_mb: float
    """Size of all tensors in fp16, in millions of bytes."""
    gflop_source: float
    """Encoding the source frame, once per job."""
    gflop_motion_of_frame: float
    """Encoding the motion latent of one driving frame; not needed for speech."""
    gflop_sampling: float
    """Sampling one second of motion from speech, all steps, with guidance."""
    gflop_rendering: float
    """Rendering one frame from its latent at the preset's size."""
    gflop_rendering_parts: dict[str, float]
    """The same by part; the remainder are warps of the picture."""


def cost_of(preset: Preset) -> Cost:
    """Count the cost of one preset, on the meta device where shapes suffice."""
    # The meta device computes nothing. With gradients torch uses no fused kernels, which the counter would miss.
    with torch.enable_grad(), META:
        autoencoder = Autoencoder(preset.autoencoder).eval()
        frame = torch.zeros(1, 3, preset.size_px, preset.size_px)
        source = autoencoder.encode_source(frame)
        rendering = count(lambda: autoencoder.render(source, source.motion))
        encoding = count(lambda: autoencoder.encode_source(frame))
        reading = count(lambda: autoencoder.encode_motion(frame))
    diffusion = Diffusion(preset).eval()
    parts = dict(autoencoder.named_children()) | dict(diffusion.named_children())
    tensors = [*autoencoder.state_dict().values(), *diffusion.state_dict().values()]
    return Cost(
        preset.name,
        {name: sum(tensor.numel() for tensor in part.parameters()) for name, part in parts.items()},
        2 * sum(tensor.numel() for tensor in tensors) / 1e6,
        gflop_source=encoding["Global"],
        gflop_motion_of_frame=reading["Global"],
        gflop_sampling=_sampling(preset, diffusion),
        gflop_rendering=rendering["Global"],
        gflop_rendering_parts=_by_part(autoencoder, rendering),
    )


def count(work: Callable[[], object]) -> dict[str, float]:
    """Count the GFLOP of a call: the total as "Global", and by the path of each module that was called."""
    mapping = {
        torch.ops.aten.grid_sampler_2d: _sampled,
        torch.ops.aten.upsample_bilinear2d: _resized,
        torch.ops.aten._upsample_bilinear2d_aa: _resized,  # noqa: SLF001 - torch's name for antialiased resizing
        # torch counts attention on GPUs only.
        torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attended,  # noqa: SLF001
    }
    with FlopCounterMode(display=False, custom_mapping=mapping) as counter:
        work()
    return {path: sum(flop.values()) / 1e9 for path, flop in counter.get_flop_counts().items()} | {
        "Global": counter.get_total_flops() / 1e9
    }


def _sampling(preset: Preset, diffusion: Diffusion) -> float:
    """Count the GFLOP per second of motion over one window of noise; sampling needs real values."""
    frames = preset.diffusion.window
    autoencoder = Autoencoder(preset.autoencoder).eval()
    samples = np.random.default_rng(0).normal(0, 0.1, frames * preset.sample_rate_hz // preset.fps).astype(np.float32)

    def speech() -> Iterator[NDArray[np.float32]]:
        yield samples

    with torch.inference_mode():
        source = autoencoder.encode_source(torch.zeros(1, 3, preset.size_px, preset.size_px))
    networks = Networks(preset, autoencoder, diffusion, LinearReadout(preset.diffusion.whitened), sha256="")
    # The rest position of the lips would sample one more window per recording.
    controls = MotionControls(shut_in_silence=0.0)
    sampling = count(lambda: list(sample_motion(networks, source, speech, frames, seed=0, controls=controls)))
    return sampling["Global"] * preset.fps / frames


def _by_part(network: nn.Module, gflop: dict[str, float]) -> dict[str, float]:
    root = type(network).__name__
    return {name: gflop[f"{root}.{name}"] for name, _ in network.named_children() if f"{root}.{name}" in gflop}


Shape = torch.Size
#: Number of the bicubic mode in torch's sampler.
BICUBIC: Final = 2


def _sampled(_image: Shape, _grid: Shape, mode: int, *_rest: object, out_shape: Shape, **_options: object) -> int:
    """Count a multiply-add for each tap of each value: four bilinear, sixteen bicubic taps."""
    return 2 * (16 if mode == BICUBIC else 4) * math.prod(out_shape)


def _resized(image: Shape, *_rest: object, out_shape: Shape, **_options: object) -> int:
    """Count two taps along each axis, more if antialiasing shrinks the image."""
    taps = sum(2 * max(1.0, before / after) for before, after in zip(image[2:], out_shape[2:], strict=True))
    return round(2 * taps * math.prod(out_shape))


def _attended(query: Shape, key: Shape, value: Shape, *_rest: object, out_shape: object, **_options: object) -> int:
    """Count two products per head: (T, D) x (D, S) and (T, S) x (S, E)."""
    del out_shape
    return 2 * math.prod(query[:-1]) * key[-2] * (query[-1] + value[-1])


def _table(costs: list[Cost]) -> Table:
    table = Table("", *(cost.preset for cost in costs), title="Cost by preset; a multiply-add counts 2")

    def row(name: str, values: Iterable[float], form: str = ".2f") -> None:
        table.add_row(name, *(format(value, form) for value in values), end_section=name.startswith("all"))

    # BASE, the last preset, has all parts.
    for part in costs[-1].parameters:
        row(f"{part}, parameters", (cost.parameters.get(part, 0) for cost in costs), ",")
    row("all parameters", (sum(cost.parameters.values()) for cost in costs), ",")
    row("all tensors in fp16, MB", (cost.size_mb for cost in costs))
    row("encoding the source, GFLOP per job", (cost.gflop_source for cost in costs))
    row("encoding motion of video, GFLOP per frame", (cost.gflop_motion_of_frame for cost in costs))
    row("sampling motion, GFLOP per second", (cost.gflop_sampling for cost in costs))
    for part in costs[-1].gflop_rendering_parts:
        row(f"  {part}, GFLOP per frame", (cost.gflop_rendering_parts.get(part, 0) for cost in costs))
    row("rendering path, GFLOP per frame", (cost.gflop_rendering for cost in costs))
    return table


def main() -> None:
    """Parse the command line and print the costs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", choices=PRESETS, help="one preset (default: all)")
    parser.add_argument("--json", action="store_true", help="print JSON, one object per preset")
    args = parser.parse_args()
    costs = [cost_of(PRESETS[name]) for name in ([args.preset] if args.preset else PRESETS)]
    if args.json:
        print(json.dumps([asdict(cost) for cost in costs], indent=2))  # noqa: T201 - the result
    else:
        Console().print(_table(costs))


if __name__ == "__main__":
    with exit_if_unread():
        main()
