"""Trains stage 2 on the latents of a trained stage 1.

Every clip is encoded once; then windows of its motion are drawn with the speech around them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Final, cast

import torch
from rich.console import Console
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from dubline.models.precision import bf16_autocast
from dubline.models.stage1.autoencoder import Autoencoder
from dubline.models.stage2.diffusion import Diffusion
from dubline.training.checkpoint import read_average
from dubline.training.cli_errors import UsageError
from dubline.training.session import Session, training_device
from dubline.training.stage2.articulation import ArticulationHead, ArticulationSampler
from dubline.training.stage2.denoising_loss import lips_of, loss_of
from dubline.training.stage2.encoded_clips import encode_corpus, fingerprint, fit_statistics
from dubline.training.stage2.latent_alignment import align_latents
from dubline.training.stage2.lip_check import LipCheck
from dubline.training.stage2.training_params import TrainingParams, read_training_params
from dubline.training.stage2.windows import WindowSampler

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from dubline.models.presets import Preset
    from dubline.training.corpus import Clip
    from dubline.training.stage2.encoded_clips import EncodedClip

LEARNING_RATE: Final = 6e-4
#: The network's own samples are worth conditioning on once it has learnt something.
ROLLOUT_AFTER_STEPS: Final = 1000
CHECK_EVERY_STEPS: Final = 500
CHECKED_CLIPS: Final = 12
#: Beside a GPU.
DRAWING_PROCESSES: Final = 8


@dataclass(frozen=True)
class Recipe:
    """How stage 2 is trained. TINY was released with `Recipe(batch=32, draws=1, variants=0, rollouts=0)`.

    batch: windows per step. draws: times and noises per window; the extractors, half of the work, hear it once.
    variants: recordings of each clip's speech besides its own. rollouts: the share of windows whose previous frames
    are the network's own. recited: windows per step of speech without pictures, where there is some; warm_up: first
    steps of a run that learn from nothing else. steps: how many to take, instead of so many minutes.
    """

    batch: int = 16
    draws: int = 2
    variants: int = 3
    rollouts: float = 1 / 8
    recited: int = 16
    warm_up: int = 2000
    steps: int | None = None


RECIPE: Final = Recipe()


def train(  # noqa: PLR0913 - each is a choice of the caller
    clips: Iterable[Clip],
    preset: Preset,
    out: Path,
    *,
    minutes: float = math.inf,
    resume: bool,
    recipe: Recipe = RECIPE,
    heldout: Iterable[Clip] = (),
    names: Sequence[str] = (),
    articulation: ArticulationSampler | None = None,
    start_from: Path | None = None,
    formerly: Sequence[EncodedClip] = (),
) -> Path:
    """Train for a number of minutes on `out/stage1.pt`; state goes to `out/stage2.pt`.

    Args:
        clips: read once, one at a time, and not at all if `out/encoded.pt` holds them.
        preset: its diffusion parameters are kept in the state; another set refuses to resume.
        out: the run's folder.
        minutes: the time box; encoding does not count.
        resume: go on from the state in `out`.
        recipe: how to train.
        heldout: on the first few of these the lips are checked while training.
        names: of the files that the clips come from; without them nothing is stored in `out/encoded.pt`.
        articulation: speech whose mouth is known, which the articulation extractor learns from as well.
        start_from: averages to begin from, see `Session`.
        formerly: clips as the stage 1 encoded them that those averages were trained on, if it was another.

    Returns:
        The state's path.

    Raises:
        FileNotFoundError: stage 1 has not been trained there, or there is nothing to resume.
        ValueError: the state was trained with other parameters, no clip is long enough, or there are former clips and
            no averages to begin from.
    """
    if formerly and not start_from:
        raise UsageError("there is nothing to carry over: --formerly needs --start-from")
    device = training_device()
    autoencoder, head = load_stage1(preset, out)
    trained = TrainingParams(preset.diffusion, fingerprint(autoencoder))
    if resume and (out / "stage2.pt").exists():
        # Before anything is encoded, and before weights of other shapes are loaded.
        trained.load_state_dict(read_training_params(out / "stage2.pt"))
    corpus = encode_corpus(
        clips,
        islice(heldout, CHECKED_CLIPS),
        autoencoder.to(device),
        variants=recipe.variants,
        cache=out / "encoded.pt",
        names=names,
    )
    diffusion = Diffusion(preset)
    articulation_head = ArticulationHead(articulation, preset.diffusion.audio_width, device) if articulation else None
    fit_statistics(diffusion, corpus.training)
    session = Session(
        diffusion.to(device),
        out / "stage2.pt",
        minutes=minutes,
        budget=recipe.steps,
        learning_rate=LEARNING_RATE,
        resume=resume,
        start_from=start_from,
        prefix="diffusion.",
        batch=recipe.batch,
        companions={"params": trained} | ({"reciter": articulation_head} if articulation_head else {}),
    )
    if start_from and not session.steps:
        _adapt_latents(diffusion, formerly, corpus.training)
        _averaged(session).load_state_dict(diffusion.state_dict())
    lips = lips_of(diffusion, head)
    windows = WindowSampler(corpus.training, diffusion, seed=session.steps)
    listened = {"lips_seen": corpus.training[:CHECKED_CLIPS], "lips_heldout": corpus.heldout}
    checks = {name: LipCheck(kept, windows, lips[:, -1]) for name, kept in listened.items() if kept}
    workers = DRAWING_PROCESSES if device.type == "cuda" else 0
    batches = windows.stream(recipe.batch, int(recipe.batch * recipe.rollouts), workers)
    warm_up = recipe.warm_up if articulation else 0
    while not session.finished:
        loss, figures = torch.zeros((), device=device), {}
        if session.steps >= warm_up:
            batch = session.fetch(partial(next, batches)).to(device)
            teacher = _averaged(session) if session.steps >= warm_up + ROLLOUT_AFTER_STEPS else None
            with bf16_autocast(device), sdpa_kernel(_attention(device)):
                loss = loss + loss_of(diffusion, lips, batch, draws=recipe.draws, teacher=teacher)
        if articulation_head:
            with bf16_autocast(device):
                recited = articulation_head.loss(diffusion.articulation_extractor, recipe.recited)
            loss, figures = loss + recited, {"recited": recited.detach()}
        session.step(loss, **figures)
        if articulation_head:
            articulation_head.step()
        if session.steps == warm_up:
            session.restart_warm_up()
        if session.steps % CHECK_EVERY_STEPS == 0:
            _check_lips(session, checks, device)
    _check_lips(session, checks, device)
    session.save()
    return session.path


def _adapt_latents(diffusion: Diffusion, formerly: Sequence[EncodedClip], clips: list[EncodedClip]) -> None:
    """Average that were trained on the latents of another run have its statistics, and perhaps its words."""
    if formerly:
        said = align_latents(diffusion, formerly, clips)
        Console().print(f"these latents say {said:.0%} of the motion that the averages were trained on", markup=False)
    else:
        fit_statistics(diffusion, clips)


def _attention(device: torch.device) -> list[SDPBackend]:
    """On a CPU the fused kernel's backward pass takes four times as long as plain products for so short a window."""
    return [SDPBackend.MATH] if device.type == "cpu" else [SDPBackend.FLASH_ATTENTION, SDPBackend.MATH]


def _check_lips(session: Session, checks: Mapping[str, LipCheck], device: torch.device) -> None:
    # Set, not smoothed: each is an exam of its own.
    session.figures |= {name: check.score(_averaged(session), device) for name, check in checks.items()}


def _averaged(session: Session) -> Diffusion:
    return cast("Diffusion", session.average.network)


def load_stage1(preset: Preset, out: Path) -> tuple[Autoencoder, nn.Linear]:
    """The averaged autoencoder of a run and its geometry head.

    Args:
        preset: of the run.
        out: its folder, with `stage1.pt` or, brought from another machine, `stage1.safetensors`.

    Raises:
        FileNotFoundError: stage 1 has not been trained there.
    """
    path = out / "stage1.pt" if (out / "stage1.pt").exists() else out / "stage1.safetensors"
    state, _ = read_average(path)
    autoencoder = Autoencoder(preset.autoencoder)
    prefix = "autoencoder."
    autoencoder.load_state_dict({k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)})
    weight, bias = state["geometry_head.weight"], state["geometry_head.bias"]
    head = nn.Linear(weight.shape[1], weight.shape[0])
    head.load_state_dict({"weight": weight, "bias": bias})
    return autoencoder.eval().requires_grad_(requires_grad=False), head
