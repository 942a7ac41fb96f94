"""Measures how much rendered frames and sampled motion change without each part, and what the part brings.

A part whose absence changes nothing is dead, whatever its parameters are. A part whose absence changes the output but
not its error brings nothing.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import torch
from rich.box import SIMPLE_HEAD
from rich.table import Table

from dubline.models.motion.readout import LIPS, LinearReadout
from dubline.training.corpus import read_clip
from dubline.training.evaluation.generation.generator import face_of
from dubline.training.evaluation.generation.motion_renderer import MotionRenderer
from dubline.training.evaluation.parts.switches import (
    CONDITIONS,
    present,
    stage1_switches,
    stage2_switches,
    switched_off,
    without_condition,
)
from dubline.training.evaluation.scores.mouth_opening import correlation
from dubline.training.evaluation.scores.picture import means, pair_scores

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor

    from dubline.models.stage1.autoencoder import Source
    from dubline.models.weights import Networks
    from dubline.training.corpus import Clip

    Rows = dict[str, dict[str, float]]

#: Driving frames of each clip.
FRAMES: Final = 4
WHOLE: Final = "whole"
#: Heading, key and digits of each column.
COLUMNS: Final = (("change, dB", "change_db", 1), ("brings, dB", "brings_db", 2))
COLUMNS2: Final = (("change, %", "change_percent", 1), ("lips", "lip_correlation", 3), ("lips move", "lip_spread", 2))


class Spoken(NamedTuple):
    """What stage 2 is asked for."""

    clip: Clip
    source: Source


def stage1_dependence(networks: Networks, clips: Sequence[Clip]) -> Rows:
    """Render clips from their own motion, whole and without each part.

    Returns:
        For each part `change_db`, PSNR of the face box against the whole network's output (higher: less change), and
        `brings_db`, by how much the error against the true frames grows without it.
    """
    whole = [_frames(networks, clip) for clip in clips]
    rows: Rows = {}
    switches = present(networks.autoencoder, stage1_switches(networks.autoencoder.deviation_decoder))
    for part, (path, hook) in switches.items():
        with switched_off(networks.autoencoder, path, hook):
            rows[part] = means([_compare(networks, clip, frames) for clip, frames in zip(clips, whole, strict=True)])
    return rows


def _frames(networks: Networks, clip: Clip) -> NDArray[np.uint8]:
    renderer = MotionRenderer(networks)
    motion = renderer.encode_motion(clip.frames[_driving(clip)])
    return np.concatenate(list(renderer.render(renderer.encode_source(clip.frames[0]), motion)))


def _driving(clip: Clip) -> NDArray[np.int_]:
    return np.linspace(0, len(clip.frames) - 1, FRAMES + 1).round().astype(int)[1:]


def _compare(networks: Networks, clip: Clip, whole: NDArray[np.uint8]) -> dict[str, float]:
    box, truth, frames = face_of(clip), clip.frames[_driving(clip)], _frames(networks, clip)
    change = np.mean([pair_scores(frame, other, box)["face_psnr"] for frame, other in zip(frames, whole, strict=True)])
    errors = [
        np.mean([pair_scores(frame, true, box)["face_psnr"] for frame, true in zip(made, truth, strict=True)])
        for made in (whole, frames)
    ]
    return {"change_db": float(change), "brings_db": float(errors[0] - errors[1])}


def stage2_dependence(networks: Networks, clips: Sequence[Clip]) -> Rows:
    """Sample motion from the clips' speech, whole and without each part, without the readout's edits.

    Returns:
        For each part `change_percent`, root mean square of the change of whitened motion over that of the motion about
        its mean; `lip_correlation` of the lips' reading with the true gap, 0 without labels; `lip_spread`, standard
        deviation of the reading over the whole network's.
    """
    unread = LinearReadout(networks.preset.diffusion.whitened).to(networks.diffusion.source_mean.device)
    renderer = MotionRenderer(replace(networks, readout=unread))
    spoken = [Spoken(clip, renderer.encode_source(clip.frames[0])) for clip in clips]
    styles: list[Tensor] = []

    def keep(_: object, __: tuple[Any, ...], style: Tensor) -> None:
        styles.append(style)

    with switched_off(networks.diffusion, "style_extractor", keep):
        whole = [_motion(renderer, each) for each in spoken]
    rows: Rows = {WHOLE: _changes(networks, spoken, whole, whole)}

    def measure(part: str, context: AbstractContextManager[None]) -> None:
        with context:
            rows[part] = _changes(networks, spoken, whole, [_motion(renderer, each) for each in spoken])

    switches = present(networks.diffusion, stage2_switches(torch.cat(styles).mean(0, keepdim=True)))
    for part, (path, hook) in switches.items():
        measure(part, switched_off(networks.diffusion, path, hook))
    for part, fields in CONDITIONS.items():
        measure(part, without_condition(networks.diffusion.denoiser, fields))
    return rows


def _motion(renderer: MotionRenderer, spoken: Spoken) -> Tensor:
    """Return sampled whitened motion (T, K)."""
    motion = renderer.sample_motion(spoken.source, spoken.clip.speech, len(spoken.clip.frames)).float()
    whitened: Tensor = renderer.networks.diffusion.whitening(motion, spoken.source.motion)
    return whitened


def _changes(
    networks: Networks, spoken: Sequence[Spoken], whole: Sequence[Tensor], motions: Sequence[Tensor]
) -> dict[str, float]:
    rows = []
    for (clip, _), before, after in zip(spoken, whole, motions, strict=True):
        size = (before - before.mean(0)).square().mean().sqrt()
        gaps = [networks.readout(motion)[:, LIPS].cpu().double().numpy() for motion in (before, after)]
        truth = np.zeros(len(gaps[0])) if clip.aperture_mm is None else clip.aperture_mm.astype(np.float64)
        rows.append(
            {
                "change_percent": float(100 * (after - before).square().mean().sqrt() / size),
                "lip_correlation": correlation(gaps[1], truth),
                "lip_spread": float(gaps[1].std() / max(gaps[0].std(), 1e-9)),
            }
        )
    return means(rows)


def measure_parts(networks: Networks, paths: Sequence[Path]) -> dict[str, Rows]:
    """Measure both stages on clips with speech."""
    read = [read_clip(path, networks.preset.size_px) for path in paths]
    spoken = [clip for clip in read if np.abs(clip.speech).any()]
    return {"stage 1": stage1_dependence(networks, read), "stage 2": stage2_dependence(networks, spoken)}


def tables(parts: dict[str, Rows]) -> list[Table]:
    """Build the printed tables."""
    built = []
    for (stage, rows), columns in zip(parts.items(), (COLUMNS, COLUMNS2), strict=True):
        table = Table(title=f"{stage}: output without each part", box=SIMPLE_HEAD)
        table.add_column("", no_wrap=True)
        for heading, _, _ in columns:
            table.add_column(heading, justify="right", no_wrap=True)
        for part, values in rows.items():
            table.add_row(part, *(f"{values[key]:.{digits}f}" for _, key, digits in columns))
        built.append(table)
    return built
