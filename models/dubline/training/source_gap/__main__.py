"""Trains the reading of the lip gap: `python -m dubline.training.source_gap CLIPS TALKERS --portraits FOLDER`.

Rewrites released weights with the network `SourceGap`. Rendered clips have a known gap; in recordings and portraits
the landmark process of the evaluation measures it.
"""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

import torch

from dubline.models.presets import PRESETS
from dubline.models.weights import RELEASED, load_networks, save_networks
from dubline.training.cli_errors import exit_on_usage_error
from dubline.training.corpus import find_clips
from dubline.training.evaluation.generation.portrait import SUFFIXES
from dubline.training.source_gap.sources import Sources
from dubline.training.source_gap.train import STEPS, train


def main() -> None:
    """Parse the command line, train and write the weights."""
    parser = argparse.ArgumentParser(prog="python -m dubline.training.source_gap", description=__doc__)
    parser.add_argument("clips", type=Path, nargs="+", help="folders of clips, rendered and of people")
    parser.add_argument("--portraits", type=Path, metavar="FOLDER", help="pictures of faces")
    parser.add_argument("--preset", choices=PRESETS, default="base")
    parser.add_argument("--weights", type=Path, default=RELEASED, help="released presets, which are changed")
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--out", type=Path, default=Path("runs/source_gap"), help="folder for pictures")
    args = parser.parse_args()
    networks = load_networks(args.preset, torch.device("cpu"), args.weights)
    sources = Sources(args.out)
    sources.add_clips(find_clips(args.clips, heldout=False))
    if args.portraits:
        sources.add_portraits([path for path in sorted(args.portraits.rglob("*")) if path.suffix.lower() in SUFFIXES])
    kinds = sources.kinds()
    save_networks(dataclasses.replace(networks, source_gap=train(kinds, args.steps)), args.weights)
    counts = ", ".join(str(len(kind.gaps)) for kind in kinds)
    sources.console.print(f"trained on {counts} frames of {len(kinds)} kinds; weights in {args.weights}", markup=False)


if __name__ == "__main__":
    with exit_on_usage_error():
        main()
