"""Trains the articulation extractor of released weights alone. Without the denoiser a step costs a fraction."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np
import torch

from dubline.models.precision import training_autocast
from dubline.training.cli_errors import UsageError
from dubline.training.session import Session, training_device
from dubline.training.spoken_gap import GAIN, gap_of
from dubline.training.stage2.articulation import ArticulationHead, ArticulationSampler
from dubline.training.stage2.extractor.gap_sampler import GapSampler, SpeakingLips
from dubline.training.stage2.extractor.loss import WINDOWS, ExtractorLoss
from dubline.training.stage2.mixture import person_probabilities
from dubline.training.stage2.spoken_gap_head import SpokenGapHead

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from dubline.models.weights import Networks
    from dubline.training.stage2.articulation import LabelledSpeech
    from dubline.training.stage2.encoded_clips import EncodedClip

LEARNING_RATE: Final = 5e-4


def train(  # noqa: PLR0913 - independent inputs
    networks: Networks,
    clips: Sequence[EncodedClip],
    speech: Sequence[LabelledSpeech],
    out: Path,
    *,
    minutes: float = math.inf,
    steps: int | None = None,
    keep_output: float = 0.0,
    resume: bool = False,
) -> None:
    """Train for a number of minutes or of steps; the state is written to `out/extractor.pt`.

    Args:
        networks: released, on the CPU; the average of the trained extractor replaces theirs.
        clips: with labels, and recordings of people.
        speech: with known mouth motion and without frames.
        out: the run's folder.
        minutes: time limit.
        steps: number of steps instead of a time limit.
        keep_output: as in `ExtractorLoss`.
        resume: as in `Session`.

    Raises:
        FileNotFoundError: there is nothing to resume, or no labelled speech that is long enough.
        UsageError: clips of one of the two kinds are missing, or all are too short.
    """
    torch.manual_seed(0)
    device, params = training_device(), networks.diffusion.params
    labelled, recorded = _samplers(clips, networks)
    extractor = networks.diffusion.articulation_extractor.requires_grad_().to(device)
    articulation_head = ArticulationHead(ArticulationSampler(speech, params), params.audio_width, device)
    gap_head = SpokenGapHead(params.audio_width, device)
    with torch.no_grad():
        gap_head.head.weight.copy_(networks.readout.spoken_gap[None, :-1] / GAIN)
    # The former output is that of the released weights, also if training is resumed.
    loss = ExtractorLoss(extractor, labelled, recorded, articulation_head, gap_head, keep_output)
    session = Session(
        extractor,
        out / "extractor.pt",
        minutes=minutes,
        budget=steps,
        learning_rate=LEARNING_RATE,
        resume=resume,
        batch=WINDOWS,
        companions={"articulation_head": articulation_head, "gap_head": gap_head},
    )
    labelled.seed(session.steps, 0)
    recorded.seed(session.steps, 1)
    while not session.finished:
        learning_rate = session.learning_rate
        with training_autocast(device):
            figures = loss()
        session.step(**figures)
        articulation_head.step(learning_rate)
        gap_head.step(learning_rate)
    session.save()
    extractor.load_state_dict(session.average.network.state_dict())
    # Readings are fitted with the half-precision values that are released.
    extractor.requires_grad_(requires_grad=False).cpu().half().float()


def _samplers(clips: Sequence[EncodedClip], networks: Networks) -> tuple[GapSampler, GapSampler]:
    """Return samplers of the clips with labels and of recordings of people."""
    labelled = [clip for clip in clips if clip.gap is not None]
    recorded = [clip for clip in clips if clip.gap is None]
    if not labelled or not recorded:
        raise UsageError("the extractor learns from clips with labels and from recordings of people: give both")
    return (
        _sampler(labelled, np.ones(len(labelled)), networks),
        _sampler(recorded, person_probabilities([clip.name for clip in recorded]), networks),
    )


def _sampler(clips: Sequence[EncodedClip], weights: NDArray[np.float64], networks: Networks) -> GapSampler:
    lips = [SpeakingLips(clip.recordings, gap_of(clip, networks)) for clip in clips]
    return GapSampler(lips, weights, networks.diffusion.params)
