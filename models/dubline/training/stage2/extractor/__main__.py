"""Trains the articulation extractor: `python -m dubline.training.stage2.extractor CLIPS TALKERS --speech SPEECH`.

Rewrites released weights with the extractor and with the reading of the lip gap that speech determines, which is fitted
to it. CLIPS have labels, TALKERS are recordings of people.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Final

import torch
from rich.console import Console

from dubline.models.presets import PRESETS
from dubline.models.weights import RELEASED, load_networks, save_networks
from dubline.training.cli_errors import exit_on_usage_error
from dubline.training.corpus import find_clips, stream_corpus
from dubline.training.session import training_device
from dubline.training.spoken_gap import fit
from dubline.training.stage2.articulation import read_labelled_speech
from dubline.training.stage2.encoded_clips import encode_corpus, stamp
from dubline.training.stage2.extractor.train import train

#: Augmented recordings of each clip's speech.
VARIANTS: Final = 1


def main() -> None:
    """Parse the command line, train and rewrite the weights."""
    args = parser().parse_args()
    networks = load_networks(args.preset, torch.device("cpu"), args.weights)
    names = [stamp(path) for path in find_clips(args.clips, heldout=False)]
    speech = read_labelled_speech(args.speech)
    networks.autoencoder.to(training_device())
    clips = encode_corpus(
        stream_corpus(args.clips, networks.preset.size_px, heldout=False),
        (),
        networks.autoencoder,
        variants=VARIANTS,
        cache=args.out / "encoded.pt",
        names=names,
    ).training
    train(
        networks,
        clips,
        speech,
        args.out,
        minutes=args.minutes,
        keep_output=args.keep_output,
        resume=args.resume,
    )
    fit(networks, clips)
    save_networks(networks, args.weights)
    Console().print(f"trained on {len(clips)} clips and {len(speech)} recordings; weights in {args.weights}")


def parser() -> argparse.ArgumentParser:
    """Build the argument parser."""
    parser = argparse.ArgumentParser(prog="python -m dubline.training.stage2.extractor", description=__doc__)
    add = parser.add_argument
    add("clips", type=Path, nargs="+", help="folders of NAME.mp4 + NAME.npz, with labels and of people")
    add("--speech", type=Path, required=True, help="folder of NAME.flac + NAME.npz: labelled speech, without frames")
    add("--preset", choices=PRESETS, default="base")
    add("--weights", type=Path, default=RELEASED, help="folder with the folder of the preset; rewritten")
    add("--minutes", type=float, default=70)
    add("--keep-output", type=float, default=0.0, metavar="WEIGHT", help="hold the output near the former one")
    add("--out", type=Path, default=Path("runs/extractor"), help="folder of encoded clips, state and curves")
    add("--resume", action="store_true", help="continue from the state in --out")
    return parser


if __name__ == "__main__":
    with exit_on_usage_error():
        main()
