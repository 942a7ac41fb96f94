"""Training of the points' network on one processor."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Final

import numpy as np
import structlog
import torch
from torch.nn import functional

from dubline.training.face_points.network import PointsNetwork

if TYPE_CHECKING:
    from torch import Tensor

    from dubline.training.face_points.sampler import Sample, Sampler

_log = structlog.get_logger(__name__)

BATCH: Final = 64
#: With 3e-3 and no limit of the gradient, 58 of the 64 hidden units were 0 for every picture after 2,000 steps.
LEARNING_RATE: Final = 1.5e-3
GRADIENT_MOST: Final = 2.0
WARM_UP_STEPS: Final = 50
#: Weight of coordinates against that of logits.
COORDINATES: Final = 20.0
#: Weight of the visible shares. With 1 the network does not learn what is covered.
VISIBLE: Final = 6.0
#: Weights of the nose against the middle of the face, and of the three distances that give its shape. Without them the
#: network learns where a mean face is, and not which way it looks.
SHAPE: Final = (3.0, 3.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0)
LOGGED_STEPS: Final = 100


def train(sampler: Sampler, minutes: float, start: PointsNetwork | None = None) -> PointsNetwork:
    """Train a network.

    Args:
        sampler: draws the samples.
        minutes: processor time.
        start: is trained further; None: a new one.
    """
    network = start or PointsNetwork()
    optimiser = torch.optim.AdamW(network.parameters(), LEARNING_RATE, weight_decay=1e-4)
    began_s, budget_s, step = time.process_time(), 60 * minutes, 0
    while (done := (time.process_time() - began_s) / budget_s) < 1:
        warm = min(1.0, (step + 1) / WARM_UP_STEPS)
        optimiser.param_groups[0]["lr"] = LEARNING_RATE * warm * (0.5 + 0.5 * math.cos(math.pi * done) + 2e-3)
        loss = loss_of(network, [sampler.draw() for _ in range(BATCH)])
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), GRADIENT_MOST)
        optimiser.step()
        step += 1
        if step % LOGGED_STEPS == 0:
            _log.info("steps_trained", steps=step, loss=loss.item())
    return network.eval()


def loss_of(network: PointsNetwork, samples: list[Sample]) -> Tensor:
    """Compute the loss of a batch: coordinates and their shape, visible shares, and whether it is a face."""
    pictures = torch.from_numpy(np.stack([one.picture for one in samples])).permute(0, 3, 1, 2)
    points, visible = (torch.from_numpy(np.stack([one[place] for one in samples])) for place in (1, 2))
    is_face, is_certain = (torch.tensor([one[place] for one in samples]) for place in (3, 4))
    output = network(pictures)
    faces = is_face.sum().clamp(min=1)
    # What is covered counts less, since it can only be guessed.
    left, right, mouth = visible.T
    seen = 0.2 + 0.8 * torch.stack([left, right, visible.mean(1), mouth, mouth], 1)
    far = ((output[:, :10] - points).abs().view(-1, 5, 2).sum(2) * seen * is_face[:, None]).sum() / (5 * faces)
    sure = torch.stack([visible.mean(1), visible[:, :2].mean(1), visible.mean(1), mouth], 1).repeat_interleave(2, 1)
    bent = (_shape(output[:, :10]) - _shape(points)).abs() * sure * torch.tensor(SHAPE) * is_face[:, None]
    shares = functional.binary_cross_entropy_with_logits(output[:, 10:13], visible, reduction="none")
    found = functional.binary_cross_entropy_with_logits(output[:, 13], is_face, reduction="none")
    coordinates = far + bent.sum() / (4 * faces)
    result: Tensor = (
        COORDINATES * coordinates
        + VISIBLE * (shares * is_face[:, None]).sum() / (3 * faces)
        + (found * is_certain).mean()
    )
    return result


def _shape(coordinates: Tensor) -> Tensor:
    """Return nose from middle, eye to eye, eyes to mouth, and corner to corner: (B, 8)."""
    left, right, nose, mouth_left, mouth_right = coordinates.view(-1, 5, 2).unbind(1)
    eyes, mouth = (left + right) / 2, (mouth_left + mouth_right) / 2
    return torch.cat([nose - (eyes + mouth) / 2, right - left, mouth - eyes, mouth_right - mouth_left], 1)
