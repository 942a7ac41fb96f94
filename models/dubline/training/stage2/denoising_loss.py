"""Loss of stage 2: denoise a window of motion, sometimes with previous frames sampled by the network itself."""

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
    from dubline.training.stage2.spoken_gap_head import SpokenGapHead
    from dubline.training.stage2.windows import Batch

SPEECH_DROPOUT: Final = 0.1
#: Late times are drawn more often (density 2 t), because the detail of the lips is decided there.
LAST_TIME: Final = 0.98
#: Three guided steps are enough for realistic previous frames; for an eighth of a batch they take about an eighth of a
#: training step (measured for BASE: .68 to .77 s of one core).
ROLLOUT_STEPS: Final = 3


def loss_of(  # noqa: PLR0913 - independent inputs
    diffusion: Diffusion,
    lips: Tensor,
    batch: Batch,
    *,
    gap_head: SpokenGapHead | None = None,
    draws: int = 1,
    rollout: Diffusion | None = None,
) -> Tensor:
    """Compute the loss of the prediction, the velocity and acceleration of the clean estimate, and the lips' readings.

    Args:
        diffusion: is trained.
        lips: (K, 2), see `lips_of`.
        batch: of B windows.
        gap_head: reads the lip gap of the articulation; its loss is added.
        draws: number of times and noises for each window.
        rollout: network that samples the previous frames of the windows with an earlier window.
    """
    if rollout is not None and batch.earlier is not None:
        batch = continuing(batch, own_past(rollout, batch))
    style_state = diffusion.style_extractor.update(batch.excerpts, diffusion.style_extractor.start(len(batch.clean)))
    device = batch.clean.device
    keep = (torch.rand(len(batch.clean), 1, device=device) > SPEECH_DROPOUT).float()
    articulation = diffusion.articulation_extractor(batch.slices)
    read = gap_head.loss(articulation, batch.clean @ lips[:, -1]) if gap_head else 0.0
    condition = Condition(
        articulation * keep[..., None],
        diffusion.style_extractor(style_state) * keep,
        batch.appearance,
        batch.source,
        batch.previous,
        batch.known,
    )
    condition = Condition(*(part.repeat(draws, *[1] * (part.ndim - 1)) for part in condition))
    return _denoising_loss(diffusion, lips, batch.clean.repeat(draws, 1, 1), condition) + read


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
    error = schedule.clean_estimate(noisy, predicted, times, objective) - clean
    for order in (1, 2):
        loss = loss + (weight * error.diff(n=order, dim=1).square()).mean()
    reading = error @ lips
    total: Tensor = loss + 0.5 * (reading.square().mean() + reading.diff(dim=1).square().mean())
    return total


def continuing(batch: Batch, sampled: Tensor) -> Batch:
    """Let a batch continue sampled previous frames (B, P, K), which end elsewhere than the true ones.

    Targets are shifted by this difference, faded out as in sampling: a target that does not continue the previous
    frames would teach the network to ignore them.
    """
    if batch.earlier is None:
        return batch
    last = batch.earlier.last
    shift = torch.zeros_like(batch.clean[:, :1])
    # The batch's own previous frames have noise, which targets must not get.
    shift[: len(last), 0] = sampled[: len(last), -1] - last
    decay = sampling.offset_decay(batch.clean.shape[1]).to(shift.device)
    return batch._replace(previous=sampled, clean=batch.clean + shift * decay)


@torch.no_grad()
def own_past(network: Diffusion, batch: Batch) -> Tensor:
    """Return the previous frames (B, P, K), those of the windows with an earlier window sampled by a network.

    In inference the network continues its own motion, not the truth; a few sampling steps make the same kind of errors.
    """
    if batch.earlier is None:
        return batch.previous
    count, params = len(batch.earlier.slices), network.params
    style_state = network.style_extractor.update(batch.excerpts[:count], network.style_extractor.start(count))
    condition = Condition(
        network.articulation_extractor(batch.earlier.slices),
        network.style_extractor(style_state),
        batch.appearance[:count],
        batch.source[:count],
        torch.zeros_like(batch.previous[:count]),
        torch.zeros_like(batch.known[:count]),
    )
    drawn = sampling.sample_window(network, condition, torch.randn_like(batch.clean[:count]), ROLLOUT_STEPS)
    frames = batch.earlier.ahead[:, None] + torch.arange(-params.previous, 0, device=drawn.device)
    sampled = drawn.gather(1, frames[..., None].expand(-1, -1, drawn.shape[-1]))
    return torch.cat([sampled.to(batch.previous.dtype), batch.previous[count:]])


def lips_of(diffusion: Diffusion, geometry_head: nn.Linear) -> Tensor:
    """Return the lip readings of stage 1's geometry head on whitened motion: (K, 2); zeros without labels."""
    whitening = diffusion.whitening
    if geometry_head.out_features < len(range(*LIPS.indices(2))):
        return torch.zeros(len(whitening.scale), 2, device=whitening.scale.device)
    weight = geometry_head.weight[LIPS].to(whitening.basis.device)
    readings: Tensor = (whitening.scale[:, None] * whitening.basis.T) @ weight.T
    return readings.detach()
