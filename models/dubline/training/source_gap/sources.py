"""Collects source frames of several kinds with their lip gaps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import torch
from PIL import Image
from rich.console import Console

from dubline.models.motion.source_gap import SIDE_PX
from dubline.training.cli_errors import UsageError
from dubline.training.corpus import read_clip
from dubline.training.evaluation.generation.portrait import read_portrait, unique_name
from dubline.training.evaluation.landmarks.client import LandmarkClient
from dubline.training.source_gap.train import Faces, mouth_region

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor

#: Height of a face from forehead to chin in cm; measured openings are shares of it.
FACE_CM: Final = 12.5
#: Every so many frames of a clip are read: neighbours are nearly equal.
FRAME_STEP: Final = 12


class Sources:
    """Collects frames of clips and portraits; the landmark process of the evaluation measures what has no labels.

    Args:
        folder: for pictures and the measurements of the landmark process.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.console = folder, Console()
        self.landmarks = LandmarkClient(folder, self.console)
        self.rendered: list[Faces] = []
        self.waiting: list[tuple[Path, Tensor, int]] = []

    def add_clips(self, paths: Sequence[Path]) -> None:
        """Add clips; those without labels are submitted to the landmark process."""
        for path in paths:
            clip = read_clip(path, SIDE_PX, FRAME_STEP)
            pictures = _pictures(clip.frames)
            if clip.aperture_mm is not None:
                gaps = torch.from_numpy(clip.aperture_mm[: len(pictures)]).float().clamp_min(0) / 10
                self.rendered.append(Faces(pictures, gaps))
            else:
                self.landmarks.submit(path)
                self.waiting.append((path, pictures, FRAME_STEP))

    def add_portraits(self, paths: Sequence[Path]) -> None:
        """Submit pictures to the landmark process; those without a face are left out."""
        for path in paths:
            if (portrait := read_portrait(path)) is not None:
                square = Image.fromarray(portrait.picture).resize((SIDE_PX, SIDE_PX), Image.Resampling.LANCZOS)
                square.save(picture := self.folder / f"{unique_name(path)}.png")
                self.landmarks.submit(picture)
                self.waiting.append((picture, _pictures(np.asarray(square)[None]), 1))

    def kinds(self) -> list[Faces]:
        """Wait for the landmark process; return rendered faces, recordings and portraits, without empty kinds.

        Raises:
            UsageError: the landmark process failed.
        """
        found = self.landmarks.finish(lambda _done, _total: None)
        if self.landmarks.failure:
            raise UsageError(self.landmarks.failure)
        recordings, portraits = list[Faces](), list[Faces]()
        for path, pictures, step in self.waiting:
            gaps = torch.from_numpy(found[path].opening[::step][: len(pictures)]).float() * FACE_CM
            known = gaps.isfinite()
            measured = Faces(pictures[: len(gaps)][known], gaps[known])
            (portraits if path.parent == self.folder else recordings).append(measured)
        together = (_joined(faces) for faces in (self.rendered, recordings, portraits) if faces)
        return [kind for kind in together if len(kind.gaps)]


def _pictures(frames: NDArray[np.uint8]) -> Tensor:
    """Convert frames (T, S, S, 3) to pictures of `Faces`; a copy, so that the frames are released."""
    return mouth_region(torch.tensor(frames).permute(0, 3, 1, 2)).clone()


def _joined(faces: Sequence[Faces]) -> Faces:
    return Faces(*(torch.cat(column) for column in zip(*faces, strict=True)))
