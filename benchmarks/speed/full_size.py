"""Full-size pixels of a frame: by the worker's path, beside enlargement of RGB with torch, which it replaced."""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch

from dubline.framing.crop import Square
from dubline.models.weights import load_networks
from dubline.worker.rendering.full_size.compositor import Compositor

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from dubline.models.stage1.autoencoder import Fields, Source

#: Sides of the crop, px: of the demo's portraits, and of a close-up.
SIDES: Final = (592, 1648)
REPEATS: Final = 3
#: Frames of one call of the networks.
FRAMES: Final = 4


def finish(compositor: Compositor, fields: Fields) -> Iterator[NDArray[np.uint8]]:
    """Compute finished frames of what the networks computed. They share one buffer."""
    return compositor.frames([compositor.enlarge(fields)])


@torch.inference_mode()
def measure(
    sides: tuple[int, ...] = SIDES, repeats: int = REPEATS, preset: str = "base", frames: int = FRAMES
) -> Iterator[dict[str, Any]]:
    """Yield the processor time of a frame for each side, ms: networks, full size now, and full size by torch.

    The time by torch is that of `Autoencoder.render`, which ends at full size, without that of the networks.
    """
    cpu = torch.device("cpu")
    networks = load_networks(preset, cpu)
    for side in sides:
        picture = np.random.default_rng(0).integers(0, 255, (side, side, 3), dtype=np.uint8)
        pixels = torch.from_numpy(picture).permute(2, 0, 1)[None]
        source: Source = networks.autoencoder.encode_source(pixels.float() / 127.5 - 1)
        motion = source.motion.expand(frames, -1) + 0.1
        compositor = Compositor(picture, Square(0, 0, side), cpu)
        times: dict[str, list[float]] = {"networks": [], "full size": [], "full size by torch": []}
        for number in range(repeats + 1):
            marks = [time.process_time()]
            fields = networks.autoencoder.fields(source, motion)
            marks.append(time.process_time())
            for _ in finish(compositor, fields):
                pass
            marks.append(time.process_time())
            networks.autoencoder.render(source, motion)
            marks.append(time.process_time())
            if number:  # the first round is not counted
                first, second, third = (1000 * each / frames for each in np.diff(marks))
                for name, each in zip(times, (first, second, third - first), strict=True):
                    times[name].append(float(each))
        medians = {name: statistics.median(each) for name, each in times.items()}
        ratio = medians["full size by torch"] / medians["full size"]
        yield {"name": f"{side} px", **{f"{name}_ms": value for name, value in medians.items()}, "ratio": ratio}
