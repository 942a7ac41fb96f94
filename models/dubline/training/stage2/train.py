"""Trains stage 2 on the latents of a trained stage 1.

Each clip is encoded once; then windows of its motion are drawn with the speech around them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, cast

import torch
from rich.console import Console
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from dubline.models.precision import training_autocast
from dubline.models.stage1.autoencoder import Autoencoder
from dubline.models.stage2.diffusion import Diffusion
from dubline.training.checkpoint import read_average
from dubline.training.cli_errors import UsageError
from dubline.training.session import Session, training_device
from dubline.training.stage2.articulation import ArticulationHead
from dubline.training.stage2.denoising_loss import lips_of, loss_of
from dubline.training.stage2.encoded_clips import encode_corpus, fingerprint, fit_statistics
from dubline.training.stage2.latent_alignment import align_latents
from dubline.training.stage2.lip_check import LipCheck
from dubline.training.stage2.spoken_gap_head import SpokenGapHead
from dubline.training.stage2.training_params import TrainingParams, read_training_params
from dubline.training.stage2.windows import WindowSampler

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from torch import Tensor

    from dubline.models.presets import Preset
    from dubline.training.corpus import Clip
    from dubline.training.stage2.articulation import ArticulationSampler
    from dubline.training.stage2.encoded_clips import EncodedClip, EncodedCorpus
    from dubline.training.stage2.recipe import Recipe
    from dubline.training.stage2.windows import Batch

LEARNING_RATE: Final = 6e-4
#: Steps before rollouts: the samples of an untrained network are not worth conditioning on.
ROLLOUT_AFTER_STEPS: Final = 1000
CHECK_EVERY_STEPS: Final = 500
CHECKED_CLIPS: Final = 12
#: Worker processes that draw batches for a GPU.
DRAWING_PROCESSES: Final = 8


@dataclass(frozen=True)
class Run:
    """One training run of stage 2."""

    recipe: Recipe
    session: Session
    articulation_head: ArticulationHead | None
    gap_head: SpokenGapHead
    lips: Tensor
    """(K, 2), of `lips_of`."""
    batches: Iterator[Batch]
    checks: Mapping[str, LipCheck]
    """Validation sets of the lips, by the name of their figure."""

    @property
    def diffusion(self) -> Diffusion:
        """The trained network."""
        return cast("Diffusion", self.session.network)

    @property
    def average(self) -> Diffusion:
        """The averaged network."""
        return cast("Diffusion", self.session.average.network)

    @property
    def device(self) -> torch.device:
        """The network's device."""
        return next(self.diffusion.parameters()).device

    @property
    def warm_up(self) -> int:
        """First steps, without windows of motion."""
        return self.recipe.warm_up if self.articulation_head else 0


def train(  # noqa: PLR0913 - independent inputs
    clips: Iterable[Clip],
    preset: Preset,
    out: Path,
    recipe: Recipe,
    *,
    heldout: Iterable[Clip] = (),
    names: Sequence[str] = (),
    articulation: ArticulationSampler | None = None,
    former: Sequence[EncodedClip] = (),
) -> Path:
    """Train for a number of minutes or of steps on `out/stage1.pt`; the state is written to `out/stage2.pt`.

    Args:
        clips: read one at a time, and not at all if `out/encoded.pt` contains them.
        preset: its diffusion parameters are saved with the state; resuming with others is refused.
        out: the run's folder.
        recipe: how to train.
        heldout: the lips are validated on the first few of these clips.
        names: of the clips' files; without names nothing is written to `out/encoded.pt`.
        articulation: speech with known mouth motion, for the articulation extractor.
        former: clips as encoded by the stage 1 that `recipe.start_from` was trained on, if it was another.

    Returns:
        Path of the state.

    Raises:
        FileNotFoundError: `out` has no trained stage 1, or there is nothing to resume.
        UsageError: the state was trained with other parameters, all clips are too short, or there are former clips
            without averages to start from.
    """
    if former and not recipe.start_from:
        raise UsageError("there are no averages to adapt: --formerly needs --start-from")
    autoencoder, head = load_stage1(preset, out)
    params = TrainingParams(preset.diffusion, fingerprint(autoencoder))
    if recipe.resume and (out / "stage2.pt").exists():
        # Before clips are encoded, and before weights of other shapes are loaded.
        params.load_state_dict(read_training_params(out / "stage2.pt"))
    checked = islice(heldout, CHECKED_CLIPS)
    autoencoder.to(training_device())
    cache = out / "encoded.pt"
    corpus = encode_corpus(clips, checked, autoencoder, variants=recipe.variants, cache=cache, names=names)
    diffusion, articulation_head = build(preset, corpus, articulation)
    gap_head = SpokenGapHead(preset.diffusion.audio_width, training_device())
    companions = {"params": params, "gap_head": gap_head}
    companions |= {"articulation_head": articulation_head} if articulation_head else {}
    session = open_session(diffusion, out, recipe, companions)
    if former and not session.steps:
        _adapt_latents(session, former, corpus.training)
    run = prepare(session, corpus, recipe, head, articulation_head, gap_head)
    while not session.finished:
        step(run)
    check_lips(run)
    session.save()
    return session.path


def build(
    preset: Preset, corpus: EncodedCorpus, articulation: ArticulationSampler | None
) -> tuple[Diffusion, ArticulationHead | None]:
    """Create the network, with the statistics of the corpus, and the auxiliary head."""
    diffusion, device = Diffusion(preset), training_device()
    head = ArticulationHead(articulation, preset.diffusion.audio_width, device) if articulation else None
    fit_statistics(diffusion, corpus.training)
    return diffusion.to(device), head


def open_session(diffusion: Diffusion, out: Path, recipe: Recipe, companions: Mapping[str, Any]) -> Session:
    """Start or resume the session of a run."""
    return Session(
        diffusion,
        out / "stage2.pt",
        minutes=recipe.minutes,
        budget=recipe.steps,
        learning_rate=LEARNING_RATE,
        resume=recipe.resume,
        start_from=recipe.start_from,
        prefix="diffusion.",
        batch=recipe.batch,
        companions=companions,
    )


def _adapt_latents(session: Session, former: Sequence[EncodedClip], clips: list[EncodedClip]) -> None:
    """Align averages that were trained on the latents of another stage 1; their statistics change with them.

    Otherwise the averages keep their statistics: another basis of the whitened motion would undo what they learnt.
    """
    diffusion = cast("Diffusion", session.network)
    explained = align_latents(diffusion, former, clips)
    Console().print(
        f"these latents explain {explained:.0%} of the motion that the averages were trained on", markup=False
    )
    session.average.network.load_state_dict(diffusion.state_dict())


def prepare(  # noqa: PLR0913, PLR0917 - independent inputs
    session: Session,
    corpus: EncodedCorpus,
    recipe: Recipe,
    head: nn.Linear,
    articulation_head: ArticulationHead | None,
    gap_head: SpokenGapHead,
) -> Run:
    """Prepare batches and validation sets; `head` is stage 1's geometry head."""
    diffusion = cast("Diffusion", session.network)
    lips = lips_of(diffusion, head)
    windows = WindowSampler(corpus.training, diffusion, seed=session.steps, recorded=recipe.recorded)
    checked = {"lips_seen": corpus.training[:CHECKED_CLIPS], "lips_heldout": corpus.heldout}
    checks = {name: LipCheck(clips, windows, lips[:, -1]) for name, clips in checked.items() if clips}
    workers = DRAWING_PROCESSES if training_device().type == "cuda" else 0
    batches = windows.stream(recipe.batch, int(recipe.batch * recipe.rollouts), workers)
    return Run(recipe, session, articulation_head, gap_head, lips, batches, checks)


def step(run: Run) -> None:
    """Improve the network by a batch of windows and of speech without frames; validate at intervals."""
    session, device, learning_rate = run.session, run.device, run.session.learning_rate
    loss, figures = torch.zeros((), device=device), {}
    if session.steps >= run.warm_up:
        loss = loss + _window_loss(run)
    if run.articulation_head:
        with training_autocast(device):
            articulation = run.articulation_head.loss(
                run.diffusion.articulation_extractor, run.recipe.articulation_windows, run.gap_head
            )
        loss, figures = loss + articulation, {"articulation": articulation.detach()}
    session.step(loss, **figures)
    run.gap_head.step(learning_rate)
    if run.articulation_head:
        run.articulation_head.step(learning_rate)
    if session.steps == run.warm_up:
        session.restart_warm_up()
    if session.steps % CHECK_EVERY_STEPS == 0:
        check_lips(run)


def _window_loss(run: Run) -> Tensor:
    batch = run.session.fetch(partial(next, run.batches)).to(run.device)
    rollout = run.average if run.session.steps >= run.warm_up + ROLLOUT_AFTER_STEPS else None
    with training_autocast(run.device), sdpa_kernel(_attention(run.device)):
        return loss_of(run.diffusion, run.lips, batch, gap_head=run.gap_head, draws=run.recipe.draws, rollout=rollout)


def _attention(device: torch.device) -> list[SDPBackend]:
    """Choose the attention kernels: on a CPU the fused backward pass takes four times as long for short windows."""
    return [SDPBackend.MATH] if device.type == "cpu" else [SDPBackend.FLASH_ATTENTION, SDPBackend.MATH]


def check_lips(run: Run) -> None:
    """Validate the lips with the averaged network."""
    # Figures are set, not smoothed: each is a complete validation.
    run.session.figures |= {name: check.score(run.average, run.device) for name, check in run.checks.items()}


def load_stage1(preset: Preset, out: Path) -> tuple[Autoencoder, nn.Linear]:
    """Load the averaged autoencoder of a run and its geometry head.

    Args:
        preset: of the run.
        out: its folder, with `stage1.pt` or the exported `stage1.safetensors`.

    Raises:
        FileNotFoundError: `out` has no trained stage 1.
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
