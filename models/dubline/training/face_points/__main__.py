"""Command line: `python -m dubline.training.face_points CLIPS --labelled FACES.npz --minutes 15 --out FILE`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import skimage.data
import torch
from safetensors.numpy import save_file

from dubline.training.cli_errors import exit_on_usage_error
from dubline.training.corpus import read_corpus
from dubline.training.face_points.labelled_faces import of_clips, of_file
from dubline.training.face_points.sampler import Sampler
from dubline.training.face_points.train import train

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Side at which clips are read, px.
CLIP_PX: Final = 256
#: Pictures of scikit-image without faces.
FOREIGN: Final = ("coffee", "chelsea", "rocket", "brick", "grass", "coins", "page")


def main() -> None:
    """Parse the command line, train, and write the file of `framing.points`."""
    parser = argparse.ArgumentParser(prog="python -m dubline.training.face_points", description=__doc__)
    add = parser.add_argument
    add("clips", type=Path, nargs="+", help="folders of NAME.mp4 + NAME.npz with landmarks")
    add("--labelled", type=Path, help="further faces: .npz with images (N, 160, 160, 3) and points (N, 5, 2)")
    add("--per-clip", type=int, default=6, help="frames of each clip")
    add("--minutes", type=float, default=15, help="processor time")
    add("--seed", type=int, default=0)
    add("--out", type=Path, default=Path("runs/points.safetensors"))
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    kinds = [of_clips(read_corpus(args.clips, CLIP_PX, heldout=False), args.per_clip)]
    if args.labelled:
        kinds.append(of_file(args.labelled))
    network = train(Sampler(kinds, [foreign(name) for name in FOREIGN], args.seed), args.minutes)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    save_file(network.exported(), args.out)


def foreign(name: str) -> NDArray[np.uint8]:
    """Return a picture of scikit-image in RGB."""
    picture: NDArray[Any] = getattr(skimage.data, name)()
    return picture if picture.ndim == 3 else np.repeat(picture[..., None], 3, 2)  # noqa: PLR2004 - grey has no channels


if __name__ == "__main__":
    with exit_on_usage_error():
        main()
