"""Puts trained averages where the product loads them: `python -m dubline.training.release runs/tiny`."""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from dubline.models.diffusion import Diffusion
from dubline.models.presets import PRESETS
from dubline.models.weights import RELEASED, save_networks
from dubline.training.stage2 import load_stage1


def main() -> None:
    """Read the command line and write weights and manifest."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, help="folder with stage1.pt and stage2.pt")
    parser.add_argument("--preset", choices=PRESETS, default="tiny")
    parser.add_argument("--out", type=Path, default=RELEASED)
    args = parser.parse_args()
    preset = PRESETS[args.preset]
    autoencoder, _ = load_stage1(preset, args.run)
    diffusion = Diffusion(preset)
    diffusion.load_state_dict(torch.load(args.run / "stage2.pt", weights_only=True)["average"])
    path = save_networks(preset, autoencoder, diffusion, args.out)
    print(f"{path}: {path.stat().st_size / 1e6:.1f} MB")  # noqa: T201 - the result


if __name__ == "__main__":
    main()
