"""What a preset costs, counted: parameters, size and floating-point operations: `python -m dubline.models.cost`.

A multiply-add counts 2. Counted are convolutions, matrix products, attention, warps and resizing; left out is what
memory bounds rather than arithmetic (norms, activations, sums) and the speech front end's Fourier transforms.
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
from dubline.options.render import MotionControls

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from numpy.typing import NDArray
    from torch import nn

META: Final = torch.device("meta")


@dataclass(frozen=True)
class Cost:
    """What one preset costs."""

    preset: str
    """Its name."""
    parameters: dict[str, int]
    """Of each part of both stages."""
    size_mb: float
    """Of all tensors in fp16, in millions of bytes."""
    gflop_source: float
    """Once per job: everything that is read off the source frame."""
    gflop_motion_of_frame: float
    """Reading the motion latent of one driving frame; no part of a job with speech."""
    gflop_sampling: float
    """Drawing one second of motion from speech, with guidance, all steps."""
    gflop_rendering: float
    """One frame from its latent, at the preset's own size: the rendering path."""
    gflop_rendering_parts: dict[str, float]
    """The same by part; what the parts do not explain are warps of the picture."""


def cost_of(preset: Preset) -> Cost:
    """Count one preset, with networks that hold no values where shapes suffice."""
    # On the meta device nothing is computed; with gradients torch takes no fused path that the counter cannot see.
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
    """GFLOP of some work: in all as "Global", and by the path of each module that was called."""
    mapping = {
        torch.ops.aten.grid_sampler_2d: _sampled,
        torch.ops.aten.upsample_bilinear2d: _resized,
        torch.ops.aten._upsample_bilinear2d_aa: _resized,  # noqa: SLF001 - torch's name for antialiased resizing
        # torch counts attention on the GPU only.
        torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attended,  # noqa: SLF001
    }
    with FlopCounterMode(display=False, custom_mapping=mapping) as counter:
        work()
    return {path: sum(flop.values()) / 1e9 for path, flop in counter.get_flop_counts().items()} | {
        "Global": counter.get_total_flops() / 1e9
    }


def _sampling(preset: Preset, diffusion: Diffusion) -> float:
    """GFLOP per second of motion, counted over one whole window of noise; drawing asks for real values."""
    frames = preset.diffusion.window
    autoencoder = Autoencoder(preset.autoencoder).eval()
    samples = np.random.default_rng(0).normal(0, 0.1, frames * preset.sample_rate_hz // preset.fps).astype(np.float32)

    def speech() -> Iterator[NDArray[np.float32]]:
        yield samples

    with torch.inference_mode():
        source = autoencoder.encode_source(torch.zeros(1, 3, preset.size_px, preset.size_px))
    networks = Networks(preset, autoencoder, diffusion, LinearReadout(preset.diffusion.whitened), sha256="")
    # Resting lips would ask for a window more, once a recording.
    asked = MotionControls(shut_in_silence=0.0)
    drawing = count(lambda: list(sample_motion(networks, source, speech, frames, seed=0, controls=asked)))
    return drawing["Global"] * preset.fps / frames


def _by_part(network: nn.Module, gflop: dict[str, float]) -> dict[str, float]:
    root = type(network).__name__
    return {name: gflop[f"{root}.{name}"] for name, _ in network.named_children() if f"{root}.{name}" in gflop}


Shape = torch.Size
#: How torch's sampler numbers its modes.
BICUBIC: Final = 2


def _sampled(_image: Shape, _grid: Shape, mode: int, *_rest: object, out_shape: Shape, **_options: object) -> int:
    """A multiply-add for each tap of each value: four where bilinear, sixteen where bicubic."""
    return 2 * (16 if mode == BICUBIC else 4) * math.prod(out_shape)


def _resized(image: Shape, *_rest: object, out_shape: Shape, **_options: object) -> int:
    """Two taps along each axis, more of them where antialiasing shrinks."""
    taps = sum(2 * max(1.0, before / after) for before, after in zip(image[2:], out_shape[2:], strict=True))
    return round(2 * taps * math.prod(out_shape))


def _attended(query: Shape, key: Shape, value: Shape, *_rest: object, out_shape: object, **_options: object) -> int:
    """Two products per head: (T, D) x (D, S) and (T, S) x (S, E)."""
    del out_shape
    return 2 * math.prod(query[:-1]) * key[-2] * (query[-1] + value[-1])


def _table(costs: list[Cost]) -> Table:
    table = Table("", *(cost.preset for cost in costs), title="Cost by preset; a multiply-add counts 2")

    def row(name: str, values: Iterable[float], form: str = ".2f") -> None:
        table.add_row(name, *(format(value, form) for value in values), end_section=name.startswith("all"))

    # BASE, the last one, has every part.
    for part in costs[-1].parameters:
        row(f"{part}, parameters", (cost.parameters.get(part, 0) for cost in costs), ",")
    row("all parameters", (sum(cost.parameters.values()) for cost in costs), ",")
    row("all tensors in fp16, MB", (cost.size_mb for cost in costs))
    row("reading the source, GFLOP per job", (cost.gflop_source for cost in costs))
    row("reading motion off video, GFLOP per frame", (cost.gflop_motion_of_frame for cost in costs))
    row("sampling motion, GFLOP per second", (cost.gflop_sampling for cost in costs))
    for part in costs[-1].gflop_rendering_parts:
        row(f"  {part}, GFLOP per frame", (cost.gflop_rendering_parts.get(part, 0) for cost in costs))
    row("rendering path, GFLOP per frame", (cost.gflop_rendering for cost in costs))
    return table


def main() -> None:
    """Read the command line and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", choices=PRESETS, help="one preset; without it all")
    parser.add_argument("--json", action="store_true", help="print JSON, one object per preset")
    args = parser.parse_args()
    costs = [cost_of(PRESETS[name]) for name in ([args.preset] if args.preset else PRESETS)]
    if args.json:
        print(json.dumps([asdict(cost) for cost in costs], indent=2))  # noqa: T201 - the result
    else:
        Console().print(_table(costs))


if __name__ == "__main__":
    main()
