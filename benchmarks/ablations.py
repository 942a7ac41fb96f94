"""Ablations, one per part of the method: `python -m benchmarks.ablations CLIPS --dense PAIRS [--steps 1200]`.

Every variant is trained from scratch for the same number of rendered steps as the whole method and evaluated on the
same held-out clips; nothing is switched off in trained weights. Variants of stage 2 use the stage 1 of the whole
method. Finished variants are kept in --out by preset and budget, so that the command can be stopped and run again.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from rich.console import Console
from rich.table import Table

from dubline.models.motion.readout import LIPS
from dubline.models.presets import PRESETS, Preset
from dubline.models.stage1.autoencoder import Autoencoder
from dubline.models.stage2.diffusion import Diffusion
from dubline.models.weights import Networks
from dubline.options.output import exit_if_unread
from dubline.training.checkpoint import load_average, read_average
from dubline.training.corpus import Clip, read_clip, read_corpus, stream_corpus
from dubline.training.evaluation.generation.motion_renderer import MotionRenderer
from dubline.training.evaluation.scores.mouth_opening import correlation
from dubline.training.evaluation.study import Material, Study, gather
from dubline.training.readout import fit_readout
from dubline.training.session import training_device
from dubline.training.stage1.data.exact_geometry import DensePairSampler
from dubline.training.stage1.recipe import WARM_UP_STEPS
from dubline.training.stage1.recipe import Recipe as Stage1Recipe
from dubline.training.stage1.train import train as train_stage1
from dubline.training.stage2.recipe import Recipe as Stage2Recipe
from dubline.training.stage2.train import train as train_stage2

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

WHOLE: Final = "whole"
#: Clips on which the linear readouts are fitted.
READOUT_CLIPS: Final = 100
#: Figures of arXiv 2606.03402, printed next to ours. Data, sizes and scores differ: compare only ratios.
PAPER: Final = {
    WHOLE: "PSNR 28.8, LSE-C 1.53, FID 19.2",
    "without the transformer": "PSNR 24.8, LSE-C .31",
    "without the attention map": "LSE-C .30",
    "without Mamba-g": "FID 31.1",
    "without Mamba-l": "FID 30.6",
}


@dataclass(frozen=True)
class Variant:
    """One row of the table."""

    name: str
    autoencoder: dict[str, Any] = field(default_factory=dict)
    """Parameters of stage 1 that differ from the whole method."""
    diffusion: dict[str, Any] = field(default_factory=dict)
    """Parameters of stage 2 that differ from the whole method."""
    teacher: float = 1.0
    """Loss weight of the exact geometry in stage 1."""

    @property
    def own_stage1(self) -> bool:
        """Whether stage 1 is trained for this variant, not shared with the whole method."""
        return self.name == WHOLE or bool(self.autoencoder) or self.teacher != 1

    def preset(self, base: Preset) -> Preset:
        """Return the preset with the parameters of this variant."""
        return dataclasses.replace(
            base,
            autoencoder=dataclasses.replace(base.autoencoder, **self.autoencoder),
            diffusion=dataclasses.replace(base.diffusion, **self.diffusion),
        )


VARIANTS: Final = (
    Variant(WHOLE),
    Variant("without appearance", {"uses_appearance": False}, {"uses_appearance": False}),
    Variant("without the transformer", {"uses_transformer": False}),
    Variant("without the attention map", {"uses_attention": False}),
    Variant("without the geometric teacher", teacher=0.0),
    Variant("without Mamba-g", diffusion={"uses_style": False}),
    Variant("without Mamba-l", diffusion={"uses_articulation": False}),
    Variant("x0 instead of flow", diffusion={"objective": "x0"}),
    Variant("epsilon instead of flow", diffusion={"objective": "epsilon"}),
)


@dataclass(frozen=True)
class Laboratory:
    """Trains and evaluates the variants of one preset with one budget."""

    base: Preset
    """The whole method."""
    folders: Sequence[Path]
    """Folders of clips to train on."""
    dense: Path | None
    """Folder of pairs with exact flow, for variants with a teacher."""
    steps: int
    """Steps of stage 1, after WARM_UP_STEPS of the motion encoder alone, and of stage 2."""
    material: Material
    """Clips to evaluate on."""
    out: Path
    """Folder of runs and scores."""
    console: Console = field(default_factory=Console)

    def scores(self, variant: Variant) -> dict[str, Any]:
        """Train and evaluate a variant, or read the scores of an earlier run."""
        run = self.out / variant.name.replace(" ", "_")
        path = run / "eval" / "scores.json"
        if not path.exists():
            self.console.rule(variant.name)
            self._train(variant, run)
            Study(self._networks(variant, run), self.material, run / "eval", self.console).run()
        scores: dict[str, Any] = json.loads(path.read_text())
        return scores | {"lips sent": self._lips_sent(variant, run)}

    def _train(self, variant: Variant, run: Path) -> None:
        preset = variant.preset(self.base)
        run.mkdir(parents=True, exist_ok=True)
        if not variant.own_stage1:
            for name in ("stage1.pt", "encoded.pt"):
                # The latents are the same, so they are encoded once.
                (run / name).unlink(missing_ok=True)
                (run / name).symlink_to(self.out.resolve() / WHOLE / name)
        elif not (run / "stage1.done").exists():
            clips = read_corpus(self.folders, preset.size_px, heldout=False, every=4)
            # The warm-up trains the motion encoder on the exact geometry, which this variant may lack.
            warm_up = WARM_UP_STEPS if variant.teacher else 0
            recipe = Stage1Recipe(steps=warm_up + self.steps, teacher=variant.teacher, warm_up=warm_up)
            dense = DensePairSampler(self.dense, preset.size_px) if self.dense and variant.teacher else None
            train_stage1(clips, preset, run, recipe, dense)
            (run / "stage1.done").touch()
        train_stage2(
            stream_corpus(self.folders, preset.size_px, heldout=False),
            preset,
            run,
            Stage2Recipe(variants=0, steps=self.steps),
            names=[*map(str, self.folders)],
        )

    def _lips_sent(self, variant: Variant, run: Path) -> float:
        """Return the lip correlation of the sampled motion, without the losses of an autoencoder of a small budget."""
        path = run / "eval" / "lips.json"
        if not path.exists():
            renderer = MotionRenderer(self._networks(variant, run))
            clips = [read_clip(path, self.base.size_px) for path in self.material.clips]
            correlations = [_lip_correlation(renderer, clip) for clip in clips if clip.geometry is not None]
            path.write_text(json.dumps(float(np.mean(correlations))))
        sent: float = json.loads(path.read_text())
        return sent

    def _networks(self, variant: Variant, run: Path) -> Networks:
        preset, device = variant.preset(self.base), training_device()
        autoencoder, diffusion = Autoencoder(preset.autoencoder), Diffusion(preset)
        load_average(autoencoder, read_average(run / "stage1.pt")[0], prefix="autoencoder.")
        load_average(diffusion, read_average(run / "stage2.pt")[0], prefix="diffusion.")
        for network in (autoencoder, diffusion):
            network.to(device).eval().requires_grad_(requires_grad=False)
        clips = islice(stream_corpus(self.folders[:1], preset.size_px, heldout=False), READOUT_CLIPS)
        readout = fit_readout(autoencoder, diffusion.whitening, clips).to(device)
        return Networks(preset, autoencoder, diffusion, readout, sha256="")


def _lip_correlation(renderer: MotionRenderer, clip: Clip) -> float:
    """Return the correlation of the lip gap sampled for a clip's speech with the true one."""
    source = renderer.encode_source(clip.frames[0])
    sent = renderer.sample_motion(source, clip.speech, len(clip.frames))
    gap = renderer.readings(source, sent)[:, LIPS].double().cpu().numpy()
    return correlation(gap, np.asarray(clip.geometry)[:, -1].astype(np.float64))


def rows(laboratory: Laboratory) -> Iterator[list[str]]:
    """Yield a row of the table for each variant."""
    for variant in VARIANTS:
        scores = laboratory.scores(variant)
        own, spoken = scores["table"]["own motion"], scores["table"]["speech"]
        yield [
            variant.name,
            f"{own['psnr']:.2f}",
            f"{own['ssim']:.3f}",
            f"{own['face_gain_db']:.2f}",
            f"{own['lip_correlation']:.2f}",
            f"{scores['lips sent']:.2f}",
            f"{spoken['lip_correlation']:.2f}",
            f"{spoken['closure_rate'] - spoken['false_closure_rate']:.2f}",
            PAPER.get(variant.name, "-"),
        ]


def main() -> None:
    """Train what is missing and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "clips",
        type=Path,
        nargs="+",
        help="folders of clips; the held-out clips of the first one are used for evaluation",
    )
    parser.add_argument("--dense", type=Path, help="folder of pairs with exact flow, for all but one variant")
    parser.add_argument("--preset", choices=PRESETS, default="tiny")
    parser.add_argument("--steps", type=int, default=1200, help="steps of each stage, for every variant")
    parser.add_argument("--heldout", type=int, default=6, help="clips to evaluate on")
    parser.add_argument("--out", type=Path, default=Path("runs/ablations"))
    args = parser.parse_args()
    material = gather(args.clips[0], limit=args.heldout, training=args.clips[1:])
    laboratory = Laboratory(
        PRESETS[args.preset], args.clips, args.dense, args.steps, material, args.out / args.preset / str(args.steps)
    )
    lips = ("lips, own", "lips, sent", "lips, speech", "shut right - wrong")
    headings = ("", "PSNR", "SSIM", "gain, dB", *lips, "the paper's")
    table = Table(title=f"{args.steps} steps of each stage")
    for heading in headings:
        table.add_column(heading, no_wrap=True)
    for row in rows(laboratory):
        table.add_row(*row)
        Console(width=160).print(table)


if __name__ == "__main__":
    with exit_if_unread():
        main()
