"""Puts trained averages where the product loads them: `python -m dubline.training.release runs/base --clips CLIPS`.

The clips are what the controls of motion are fitted to. Released weights can be released again with other ones:
`--average dubline/models/released/base --clips CLIPS`.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Final

from dubline.models.cost import cost_of
from dubline.models.presets import PRESETS, Preset
from dubline.models.stage1.autoencoder import Autoencoder
from dubline.models.stage2.diffusion import Diffusion
from dubline.models.weights import RELEASED, save_networks
from dubline.training.checkpoint import find_average, load_average, read_average
from dubline.training.cli_errors import UsageError, exit_on_usage_error
from dubline.training.corpus import stream_corpus
from dubline.training.readout import fit_rig
from dubline.training.stage2.training_params import diffusion_params_of

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
    """The averaged tensors of each stage.

    Args:
        preset: what they are released as.
        run: a folder with each stage's session as NAME.pt or, where that is missing, NAME.safetensors.
        averages: weights that take the place of the run's; which stage they are, their keys say.

    Raises:
        FileNotFoundError: a stage is nowhere, or a named file is not there.
        UsageError: a named file holds neither stage, or a state was trained with other parameters.
    """
    found: dict[str, dict[str, Tensor]] = {}
    for path in averages:
        tensors, _ = read_average(path)
        holds = [stage for stage, prefix in STAGES.items() if any(key.startswith(prefix) for key in tensors)]
        if not holds:
            raise UsageError(f"{path} holds neither {' nor '.join(STAGES.values())} weights")
        found |= dict.fromkeys(holds, tensors)
    for stage in STAGES.keys() - found.keys():
        if run is None:
            raise FileNotFoundError(f"no {stage}; name a run's folder or a second --average")
        state = run / f"{stage}.pt"
        path = state if find_average(state) else state.with_suffix(".safetensors")
        found[stage], _ = read_average(path)
        # Another objective has tensors of the same shapes, and would draw noise under this preset.
        if diffusion_params_of(preset, path) != preset.diffusion:
            raise UsageError(f"{path} was trained with other parameters than those of {preset.name}")
    return found


def release(
    preset: Preset, stages: dict[str, dict[str, Tensor]], out: Path = RELEASED, clips: Iterable[Clip] = ()
) -> list[Path]:
    """Write weights and manifest, and a model card to fill in where there is none.

    Args:
        preset: what they are released as.
        stages: see `read_stages`.
        out: the folder of released presets.
        clips: labelled ones that the controls are fitted to; without any, controls leave motion as it is.

    Returns:
        The weights' files.

    Raises:
        UsageError: the averages are of other networks than the preset's.
        dubline.models.weights.WeightsError: a value is not finite in fp16.
    """
    autoencoder, diffusion = Autoencoder(preset.autoencoder), Diffusion(preset)
    load_average(autoencoder, stages["stage1"], prefix=STAGES["stage1"])
    load_average(diffusion, stages["stage2"], prefix=STAGES["stage2"])
    # As the product will run it: with the values that half precision leaves of the whitening and the encoder.
    autoencoder.half().float().eval()
    diffusion.half().float()
    paths = save_networks(preset, autoencoder, diffusion, fit_rig(autoencoder, diffusion.whitening, clips), out)
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


def main() -> None:
    """Read the command line, write the release, and say what was written."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, nargs="?", help="folder with stage1 and stage2, as .pt or .safetensors")
    parser.add_argument(
        "--average",
        type=Path,
        action="append",
        default=[],
        help="averages that take the place of the run's, such as stage1.safetensors; may be given twice",
    )
    parser.add_argument(
        "--clips",
        type=Path,
        nargs="*",
        default=[],
        metavar="FOLDER",
        help="of labelled clips, which the controls are fitted to; without any, controls leave motion as it is",
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
