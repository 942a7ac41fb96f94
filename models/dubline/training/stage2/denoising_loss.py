"""What stage 2 is trained to do: denoise a window of motion, sometimes after frames that it drew itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import torch

from dubline.models import sampling
from dubline.models.stage2 import schedule
from dubline.models.stage2.denoiser import Condition
from dubline.training.corpus import LIPS

if TYPE_CHECKING:
    from torch import Tensor, nn

    from dubline.models.stage2.diffusion import Diffusion
    from dubline.training.stage2.windows import Batch

SPEECH_DROPOUT: Final = 0.1
#: Late times are drawn more often (density 2 t): there the lips' detail is decided.
LAST_TIME: Final = 0.98
#: Three guided steps are enough to show what the network's windows end like; for an eighth of a batch they cost about
#: an eighth of a training step (measured for BASE: .68 to .77 s of one core).
ROLLOUT_STEPS: Final = 3


def loss_of(
    diffusion: Diffusion, lips: Tensor, batch: Batch, *, draws: int = 1, teacher: Diffusion | None = None
) -> Tensor:
    """The objective on the window, velocity and acceleration of the clean estimate, and the lips' readings.

    Args:
        diffusion: is trained.
        lips: (K, 2), see `lips_of`.
        batch: of B windows.
        draws: how many times and noises for each window.
        teacher: its samples stand for the previous frames of the windows that have an earlier one.
    """
    if teacher is not None and batch.earlier is not None:
        own = own_past(teacher, batch)
        # Its head was elsewhere. A truth that does not begin there would teach to disregard the past; one that comes
        # from there as the sampler's windows do teaches to go on.
        moved = (own[:, -1:] - batch.previous[:, -1:]) * sampling.offset_decay(batch.clean.shape[1]).to(own.device)
        batch = batch._replace(previous=own, clean=batch.clean + moved)
    style_state = diffusion.style_extractor.update(batch.recordings, diffusion.style_extractor.start(len(batch.clean)))
    device = batch.clean.device
    listen = (torch.rand(len(batch.clean), 1, device=device) > SPEECH_DROPOUT).float()
    condition = Condition(
        diffusion.articulation_extractor(batch.slices) * listen[..., None],
        diffusion.style_extractor(style_state) * listen,
        batch.appearance,
        batch.source,
        batch.previous,
        batch.known,
    )
    condition = Condition(*(part.repeat(draws, *[1] * (part.ndim - 1)) for part in condition))
    return _denoising_loss(diffusion, lips, batch.clean.repeat(draws, 1, 1), condition)


def _denoising_loss(diffusion: Diffusion, lips: Tensor, clean: Tensor, condition: Condition) -> Tensor:
    objective = diffusion.params.objective
    first = schedule.start(objective)
    time = first + (LAST_TIME - first) * torch.rand(len(clean), device=clean.device).sqrt()
    noise, times = torch.randn_like(clean), time[:, None, None]
    noisy = schedule.interpolate(clean, noise, times)
    predicted = diffusion.denoiser(noisy, time, condition)
    weight = diffusion.whitening.scale.sqrt()
    weight = weight / weight.mean()
    loss = (weight * (predicted - schedule.target(clean, noise, objective)).square()).mean()
    off = schedule.clean_estimate(noisy, predicted, times, objective) - clean
    for order in (1, 2):
        loss = loss + (weight * off.diff(n=order, dim=1).square()).mean()
    reading = off @ lips
    total: Tensor = loss + 0.5 * (reading.square().mean() + reading.diff(dim=1).square().mean())
    return total


@torch.no_grad()
def own_past(teacher: Diffusion, batch: Batch) -> Tensor:
    """The previous frames (B, P, K) with those of the first windows drawn by the network itself.

    In use it continues its own motion, not the truth; the few steps drawn here make the same kind of mistakes.
    """
    if batch.earlier is None:
        return batch.previous
    count, params = len(batch.earlier.slices), teacher.params
    style_state = teacher.style_extractor.update(batch.recordings[:count], teacher.style_extractor.start(count))
    condition = Condition(
        teacher.articulation_extractor(batch.earlier.slices),
        teacher.style_extractor(style_state),
        batch.appearance[:count],
        batch.source[:count],
        torch.zeros_like(batch.previous[:count]),
        torch.zeros_like(batch.known[:count]),
    )
    drawn = sampling.sample_window(teacher, condition, torch.randn_like(batch.clean[:count]), ROLLOUT_STEPS)
    frames = batch.earlier.ahead[:, None] + torch.arange(-params.previous, 0, device=drawn.device)
    own = drawn.gather(1, frames[..., None].expand(-1, -1, drawn.shape[-1]))
    return torch.cat([own.to(batch.previous.dtype), batch.previous[count:]])


def lips_of(diffusion: Diffusion, geometry_head: nn.Linear) -> Tensor:
    """What stage 1's geometry head reads as lips from whitened motion: (K, 2); zeros if it never saw a label."""
    whitening = diffusion.whitening
    if geometry_head.out_features < len(range(*LIPS.indices(2))):
        return torch.zeros(len(whitening.scale), 2, device=whitening.scale.device)
    weight = geometry_head.weight[LIPS].to(whitening.basis.device)
    readings: Tensor = (whitening.scale[:, None] * whitening.basis.T) @ weight.T
    return readings.detach()
