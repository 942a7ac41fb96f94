"""Fits the lip gap that speech determines: `python -m dubline.training.spoken_gap runs/mine/encoded.pt`.

Rewrites released weights with the reading `LinearReadout.spoken_gap` of the articulation extractor's output. The gap of
rendered clips is known; in recordings it is the motion readout's, above the lips that are most closed.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Final

import torch
from rich.console import Console
from rich.progress import track

from dubline.models.motion.readout import LIPS
from dubline.models.presets import PRESETS
from dubline.models.stage2.audio_encoder import MEL_PER_FRAME
from dubline.models.stage2.log_mel import BANDS, normalise
from dubline.models.weights import RELEASED, Networks, load_networks, save_networks
from dubline.training.cli_errors import UsageError, exit_on_usage_error
from dubline.training.stage2.encoded_clips import read_encoded
from dubline.training.stage2.mixture import clip_probabilities
from dubline.training.stage2.windows import at_speed, speech_around

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from torch import Tensor

    from dubline.models.stage2.diffusion import Diffusion
    from dubline.training.stage2.encoded_clips import EncodedClip, Recording

#: Share of recordings in the fit.
RECORDED: Final = 0.5
#: Ridge, relative to the mean variance of the articulation's values.
RIDGE: Final = 0.3
#: Smallest standard deviation of a clip's gap, in cm, by which its errors are divided.
LEAST_SPREAD_CM: Final = 0.1
#: Quantile of a recording's readings that counts as closed lips: people close them in every sentence.
CLOSED: Final = 0.04
#: Factor on the fit. It predicts the mean of what people do, which has .72 of their spread, and the renderer opens
#: lips by less than they are told when nothing else of the face is (docs/log.md).
GAIN: Final = 1.8
#: Added to the gap in cm: rendered lips part only above closed ones. Chosen on clips that are not reported
#: (docs/log.md).
PARTING_CM: Final = 0.15

#: Articulation (T, W) and lip gap (T,) of a clip.
Sample = tuple["Tensor", "Tensor"]


def fit_spoken_gap(samples: Sequence[Sample], weights: Iterable[float], silent: Tensor) -> Tensor:
    """Fit the gap by ridge regression, both sides centred per clip: (W + 1,), weights and constant.

    Args:
        samples: of each clip.
        weights: of each clip, with a sum of 1.
        silent: (T, W), articulation of silence, in which lips are closed.
    """
    size = silent.shape[1]
    variance, covariance = torch.zeros(size, size, dtype=torch.float64), torch.zeros(size, dtype=torch.float64)
    for (articulation, gap), weight in zip(samples, weights, strict=True):
        given, wanted = (values.double() - values.double().mean(0) for values in (articulation, gap))
        share = weight / len(gap) / max(LEAST_SPREAD_CM, float(wanted.std())) ** 2
        variance, covariance = variance + share * given.T @ given, covariance + share * given.T @ wanted
    ridge = RIDGE * variance.diagonal().mean() * torch.eye(size)
    weight = GAIN * torch.linalg.solve(variance + ridge, covariance)
    closed = (silent.double() @ weight).median()
    return torch.cat([weight, (PARTING_CM - closed)[None]]).float()


@torch.inference_mode()
def samples_of(clip: EncodedClip, networks: Networks) -> Sample:
    """Return the articulation of all recordings of a clip, one after the other, and the lip gap in cm."""
    parts = [articulation_of(recording, networks.diffusion) for recording in clip.recordings]
    gap = gap_of(clip, networks)
    gaps = [
        at_speed(gap[:, None], recording.speed, 0, len(part))[:, 0]
        for recording, part in zip(clip.recordings, parts, strict=True)
    ]
    return torch.cat(parts), torch.cat(gaps)


def gap_of(clip: EncodedClip, networks: Networks) -> Tensor:
    """Return the lip gap (T,) of a clip in cm above closed lips."""
    if clip.gap is not None:
        return clip.gap.clamp_min(0)
    latents = clip.latents.float()
    gap: Tensor = networks.readout(networks.diffusion.whitening(latents, latents[0]))[:, LIPS]
    return gap - gap.quantile(CLOSED)


def articulation_of(recording: Recording, diffusion: Diffusion) -> Tensor:
    """Return the articulation (T, W) of a recording."""
    mel, frames = normalise(recording.mel.float(), recording.level), len(recording.mel) // MEL_PER_FRAME
    starts = range(0, frames, diffusion.params.window)
    return torch.cat([articulation_at(diffusion, mel, start) for start in starts])[:frames]


def articulation_at(diffusion: Diffusion, mel: Tensor, start: int) -> Tensor:
    """Return the articulation (T, W) of the window that starts at a frame of a normalised log-mel."""
    articulation: Tensor = diffusion.articulation_extractor(speech_around(mel, start, diffusion.params)[None])[0]
    return articulation[-diffusion.params.window :]


@torch.inference_mode()
def silent_articulation(diffusion: Diffusion) -> Tensor:
    """Return the articulation (T, W) of a window of silence."""
    return articulation_at(diffusion, torch.full((diffusion.params.window * MEL_PER_FRAME, BANDS), -1.0), 0)


def fit(networks: Networks, clips: Sequence[EncodedClip]) -> None:
    """Fit the reading of released networks to clips, half of them recordings; changed in place."""
    probabilities = clip_probabilities(clips, RECORDED)
    samples = [samples_of(clip, networks) for clip in track(clips, "reading speech")]
    networks.readout.spoken_gap.copy_(fit_spoken_gap(samples, probabilities, silent_articulation(networks.diffusion)))


def main() -> None:
    """Parse the command line, fit the reading and rewrite the weights."""
    parser = argparse.ArgumentParser(prog="python -m dubline.training.spoken_gap", description=__doc__)
    add = parser.add_argument
    add("encoded", type=Path, help="encoded.pt of the run of stage 2, of clips with labels and recordings of people")
    add("--preset", choices=PRESETS, default="base")
    add("--weights", type=Path, default=RELEASED, help="folder with the folder of the preset; rewritten")
    args = parser.parse_args()
    networks = load_networks(args.preset, torch.device("cpu"), args.weights)
    clips = read_encoded(args.encoded).training
    if clips and clips[0].latents.shape[1] != networks.preset.autoencoder.motion:
        raise UsageError(f"{args.encoded} has latents of another preset than {args.preset}")
    fit(networks, clips)
    save_networks(networks, args.weights)
    Console().print(f"fitted to {len(clips)} clips; weights in {args.weights}", markup=False)


if __name__ == "__main__":
    with exit_on_usage_error():
        main()
