"""Releases trained averages as weights of a preset: `python -m dubline.training.release runs/base --clips CLIPS`.

The motion readout is fitted to the clips. Released weights can be released again with another readout: `--average
dubline/models/released/base --clips CLIPS`. What was fitted to the same stage 2, and the reading of the lip gap of
sources, are then kept.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Final

from dubline.models.cost import cost_of
from dubline.models.motion.source_gap import SourceGap
from dubline.models.presets import PRESETS, Preset
from dubline.models.stage1.autoencoder import Autoencoder
from dubline.models.stage2.diffusion import Diffusion
from dubline.models.weights import OPTIONAL as SPOKEN_GAP
from dubline.models.weights import RELEASED, SOURCE_GAP, Networks, save_networks
from dubline.training.checkpoint import find_average, load_average, read_average
from dubline.training.cli_errors import UsageError, exit_on_usage_error
from dubline.training.corpus import stream_corpus
from dubline.training.readout import fit_readout
from dubline.training.stage2.encoded_clips import fingerprint
from dubline.training.stage2.training_params import STAGE1, diffusion_params_of, read_training_params

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import Tensor

    from dubline.training.corpus import Clip

STAGES: Final = {"stage1": "autoencoder.", "stage2": "diffusion."}
CARD: Final = """# {name}

Two-stage audio-driven portrait animation at {size} px: an independent implementation of the method of arXiv 2606.03402.
TODO: what it is for, and what it is not for.

| | |
|---|---|
| parameters | {parameters} M |
| rendering path | {gflop:.2f} GFLOP a frame (a multiply-add counts 2; source-only work apart) |
| files | fp16 safetensors, {megabytes:.1f} MB in all, SHA-256 in `manifest.json` |
| licence | Apache-2.0 |

## Training

TODO: data, machine, steps, losses.

## Measured

TODO: the table of `make evaluate`, with the processor.

## Limits, intended use, misuse

TODO.
"""


def read_stages(preset: Preset, run: Path | None, averages: list[Path]) -> dict[str, dict[str, Tensor]]:
    """Read the averaged tensors of each stage.

    Args:
        preset: to release.
        run: folder with each stage's state as NAME.pt or, without it, NAME.safetensors.
        averages: weights that replace the run's; their keys determine the stage.

    Raises:
        FileNotFoundError: a stage or a given file is missing.
        UsageError: a given file contains neither stage, a state was trained with other parameters, or stage 2 was
            trained on the latents of another stage 1 than that of its run.
    """
    found: dict[str, dict[str, Tensor]] = {}
    for path in averages:
        tensors, _ = read_average(path)
        contained = [stage for stage, prefix in STAGES.items() if any(key.startswith(prefix) for key in tensors)]
        if not contained:
            raise UsageError(f"{path} contains neither {' nor '.join(STAGES.values())} weights")
        found |= dict.fromkeys(contained, tensors)
    for stage in STAGES.keys() - found.keys():
        if run is None:
            raise FileNotFoundError(f"no {stage}: give a run's folder or a second --average")
        state = run / f"{stage}.pt"
        path = state if find_average(state) else state.with_suffix(".safetensors")
        found[stage], _ = read_average(path)
        # Weights of another objective have the same shapes but would sample noise with this preset.
        if diffusion_params_of(preset, path) != preset.diffusion:
            raise UsageError(f"{path} was trained with other parameters than those of {preset.name}")
    if run is not None and not averages:
        _compare_latents(preset, run, found["stage1"])
    return found


def _compare_latents(preset: Preset, run: Path, stage1: dict[str, Tensor]) -> None:
    """Compare stage 1 of a run with the one on whose latents stage 2 was trained; exported averages do not tell.

    Raises:
        UsageError: it has other latents.
    """
    states = [run / f"{stage}.pt" for stage in STAGES]
    if not all(state.exists() for state in states):
        return
    autoencoder = Autoencoder(preset.autoencoder)
    load_average(autoencoder, stage1, prefix=STAGES["stage1"])
    if read_training_params(states[1]).get(STAGE1) not in (None, fingerprint(autoencoder)):
        raise UsageError(f"stage 1's motion latents have changed since {states[1]} was trained: train it again")


def release(
    preset: Preset, stages: dict[str, dict[str, Tensor]], out: Path = RELEASED, clips: Iterable[Clip] = ()
) -> list[Path]:
    """Write weights, manifest and, if there is none, a template of the model card.

    Args:
        preset: to release.
        stages: of `read_stages`.
        out: folder of released presets.
        clips: labelled clips to which the motion readout is fitted; without any, motion controls have no effect.

    Returns:
        Paths of the weights.

    Raises:
        UsageError: the averages do not fit the preset's networks.
        dubline.models.weights.WeightsError: a value is not finite in fp16.
    """
    autoencoder, diffusion = Autoencoder(preset.autoencoder), Diffusion(preset)
    load_average(autoencoder, stages["stage1"], prefix=STAGES["stage1"])
    load_average(diffusion, stages["stage2"], prefix=STAGES["stage2"])
    # Fit the readout with the half-precision values that are released.
    autoencoder.half().float().eval()
    diffusion.half().float()
    readout = fit_readout(autoencoder, diffusion.whitening, clips)
    readout.spoken_gap = stages["stage2"].get(SPOKEN_GAP, readout.spoken_gap)
    networks = Networks(preset, autoencoder, diffusion, readout, sha256="", source_gap=_source_gap(stages))
    paths = save_networks(networks, out)
    card = out / preset.name / "MODEL_CARD.md"
    if not card.exists():
        cost = cost_of(preset)
        card.write_text(
            CARD.format(
                name=preset.name.upper(),
                size=preset.size_px,
                parameters=f"{sum(cost.parameters.values()) / 1e6:.2f}",
                gflop=cost.gflop_rendering,
                megabytes=sum(path.stat().st_size for path in paths) / 1e6,
            )
        )
    return paths


def _source_gap(stages: dict[str, dict[str, Tensor]]) -> SourceGap | None:
    """Return the reading of the lip gap that weights contain, which depends on neither stage."""
    tensors = {key: tensor for stage in stages.values() for key, tensor in stage.items() if key.startswith(SOURCE_GAP)}
    if not tensors:
        return None
    network = SourceGap()
    load_average(network, tensors, prefix=SOURCE_GAP)
    return network


def main() -> None:
    """Parse the command line, write the release and print its files."""
    parser = argparse.ArgumentParser(prog="python -m dubline.training.release", description=__doc__)
    parser.add_argument("run", type=Path, nargs="?", help="folder with stage1 and stage2, as .pt or .safetensors")
    parser.add_argument(
        "--average",
        type=Path,
        action="append",
        default=[],
        help="averages that replace the run's, such as stage1.safetensors; may be given twice",
    )
    parser.add_argument(
        "--clips",
        type=Path,
        nargs="*",
        default=[],
        metavar="FOLDER",
        help="folders of labelled clips for the motion readout; without any, motion controls have no effect",
    )
    parser.add_argument("--preset", choices=PRESETS, default="base")
    parser.add_argument("--out", type=Path, default=RELEASED)
    args = parser.parse_args()
    preset = PRESETS[args.preset]
    clips = stream_corpus(args.clips, preset.size_px, heldout=False) if args.clips else ()
    for path in release(preset, read_stages(preset, args.run, args.average), args.out, clips):
        print(f"{path}: {path.stat().st_size / 1e6:.1f} MB")  # noqa: T201 - the result


if __name__ == "__main__":
    with exit_on_usage_error():
        main()
