"""Fits the lip gap of source frames: `python -m dubline.training.source_gap CLIPS TALKERS --portraits FOLDER`.

Rewrites released weights with the reading `LinearReadout.source_gap`. Rendered clips have a known gap; in recordings
and portraits the landmark process of the evaluation measures it.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import torch
from PIL import Image
from rich.console import Console

from dubline.models.presets import PRESETS
from dubline.models.weights import RELEASED, Networks, load_networks, save_networks
from dubline.training.cli_errors import UsageError, exit_on_usage_error
from dubline.training.corpus import find_clips, read_clip, to_frames
from dubline.training.evaluation.generation.portrait import SUFFIXES, read_portrait
from dubline.training.evaluation.landmarks.client import LandmarkClient
from dubline.training.ridge import regress

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray
    from torch import Tensor

#: Height of a face from forehead to chin in cm; measured openings are shares of it.
FACE_CM: Final = 12.5
#: Every so many frames of a clip are read: neighbours are nearly equal.
FRAME_STEP: Final = 12
#: Samples of each kind of source, drawn with repetition: kinds count alike whatever their number.
SAMPLES: Final = 3000
#: Ridge, relative to the unit variance of whitened motion.
RIDGE: Final = 0.03

#: Latents in the whitened directions (N, K), and gaps in cm (N,).
Sample = tuple["Tensor", "Tensor"]


def fit_source_gap(kinds: Sequence[Sequence[Sample]]) -> Tensor:
    """Fit the gap by ridge regression: (K + 1,), weights and constant; each kind of source has the same weight."""
    random = np.random.default_rng(0)
    given, wanted = [], []
    for kind in kinds:
        latents, gaps = (torch.cat(column) for column in zip(*kind, strict=True))
        drawn = torch.from_numpy(random.integers(len(gaps), size=SAMPLES))
        given.append(latents[drawn].double())
        wanted.append(gaps[drawn, None].double())
    weight, constant = regress(torch.cat(given), torch.cat(wanted), RIDGE * SAMPLES * len(kinds))
    return torch.cat([weight[0], constant]).float()


class SourceReader:
    """Reads latents of source frames and their lip gaps.

    Args:
        networks: whose motion encoder and whitening are used.
        folder: for pictures and the measurements of the landmark process.
    """

    def __init__(self, networks: Networks, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.networks, self.folder, self.console = networks, folder, Console()
        self.landmarks = LandmarkClient(folder, self.console)
        self.waiting: list[tuple[Path, Tensor, int]] = []

    @torch.inference_mode()
    def latents(self, frames: NDArray[np.uint8]) -> Tensor:
        """Encode frames (T, S, S, 3): (T, K), absolute."""
        whitening = self.networks.diffusion.whitening
        motion = self.networks.autoencoder.encode_motion(to_frames(frames, whitening.mean.device))
        encoded: Tensor = whitening(motion, torch.zeros_like(motion)).cpu()
        return encoded

    def rendered(self, clips: Sequence[Path]) -> Iterator[Sample]:
        """Yield the sources of clips with labels; submit those without to the landmark process."""
        for path in clips:
            clip = read_clip(path, self.networks.preset.size_px, FRAME_STEP)
            latents = self.latents(clip.frames)
            if clip.aperture_mm is not None:
                yield latents, torch.from_numpy(clip.aperture_mm).clamp_min(0) / 10
            else:
                self.landmarks.submit(path)
                self.waiting.append((path, latents, FRAME_STEP))

    def submit_portraits(self, paths: Sequence[Path]) -> None:
        """Submit pictures to the landmark process; those without a face are left out."""
        side = self.networks.preset.size_px
        for path in paths:
            if (portrait := read_portrait(path)) is not None:
                square = Image.fromarray(portrait.picture).resize((side, side), Image.Resampling.LANCZOS)
                square.save(picture := self.folder / f"{path.stem}.png")
                self.landmarks.submit(picture)
                self.waiting.append((picture, self.latents(np.asarray(square)[None]), 1))

    def measured(self) -> tuple[list[Sample], list[Sample]]:
        """Wait for the landmark process; return what it measured of recordings and of portraits.

        Raises:
            UsageError: the landmark process failed.
        """
        found = self.landmarks.finish(lambda _done, _total: None)
        if self.landmarks.failure:
            raise UsageError(self.landmarks.failure)
        recordings, portraits = list[Sample](), list[Sample]()
        for path, latents, step in self.waiting:
            gaps = torch.from_numpy(found[path].opening[::step][: len(latents)]).float() * FACE_CM
            known = gaps.isfinite()
            sample = latents[: len(gaps)][known], gaps[known]
            (portraits if path.parent == self.folder else recordings).append(sample)
        return recordings, portraits


def main() -> None:
    """Parse the command line, fit the reading and write the weights."""
    parser = argparse.ArgumentParser(prog="python -m dubline.training.source_gap", description=__doc__)
    parser.add_argument("clips", type=Path, nargs="+", help="folders of clips, rendered and of people")
    parser.add_argument("--portraits", type=Path, metavar="FOLDER", help="pictures of faces")
    parser.add_argument("--preset", choices=PRESETS, default="base")
    parser.add_argument("--weights", type=Path, default=RELEASED, help="released presets, which are changed")
    parser.add_argument("--out", type=Path, default=Path("runs/source_gap"), help="folder for pictures")
    args = parser.parse_args()
    networks = load_networks(args.preset, torch.device("cpu"), args.weights)
    reader = SourceReader(networks, args.out)
    rendered = list(reader.rendered(find_clips(args.clips, heldout=False)))
    if args.portraits:
        reader.submit_portraits([path for path in sorted(args.portraits.iterdir()) if path.suffix in SUFFIXES])
    kinds = [kind for kind in (rendered, *reader.measured()) if kind]
    networks.readout.source_gap.copy_(fit_source_gap(kinds))
    save_networks(networks.preset, networks.autoencoder, networks.diffusion, networks.readout, args.weights)
    counts = ", ".join(str(sum(len(gaps) for _, gaps in kind)) for kind in kinds)
    reader.console.print(f"fitted to {counts} frames of {len(kinds)} kinds; weights in {args.weights}", markup=False)


if __name__ == "__main__":
    with exit_on_usage_error():
        main()
