"""Both stages train, stop in time, resume, and end as weights that load."""

from pathlib import Path

import torch

from dubline.models.diffusion import Diffusion
from dubline.models.presets import TINY
from dubline.models.weights import load_networks, save_networks
from dubline.training import stage1, stage2
from dubline.training.corpus import Clip


def test_both_stages_train_resume_and_release_loadable_weights(clips: list[Clip], tmp_path: Path) -> None:
    minutes = 3 / 60
    path = stage1.train(clips, TINY, tmp_path, minutes=minutes, resume=False)
    first = torch.load(path, weights_only=True)["steps"]
    stage1.train(clips, TINY, tmp_path, minutes=minutes, resume=True)
    assert torch.load(path, weights_only=True)["steps"] > first > 0
    stage2.train(clips, TINY, tmp_path, minutes=minutes, resume=False)
    autoencoder, _ = stage2.load_stage1(TINY, tmp_path)
    diffusion = Diffusion(TINY)
    diffusion.load_state_dict(torch.load(tmp_path / "stage2.pt", weights_only=True)["average"])
    save_networks(TINY, autoencoder, diffusion, tmp_path)
    networks = load_networks("tiny", torch.device("cpu"), tmp_path)
    assert (tmp_path / "stage1.png").exists()
    assert all(parameter.isfinite().all() for parameter in networks.diffusion.parameters())


def test_stage_one_learns_a_moving_mouth(clips: list[Clip]) -> None:
    torch.manual_seed(0)
    pairs = stage1.Pairs(clips)
    student = stage1.Student(TINY, pairs.mean.size)
    optimiser = torch.optim.AdamW(student.parameters(), 1e-3)
    pair = pairs.draw(4, torch.device("cpu"))
    losses = []
    for _ in range(12):
        loss, _ = stage1._loss(student, pair, pairs.generator)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.85 * losses[0]


def test_whitening_is_undone_by_its_inverse() -> None:
    torch.manual_seed(0)
    whitening = Diffusion(TINY).whitening
    basis = torch.randn(8, TINY.autoencoder.motion)
    source = torch.randn(TINY.autoencoder.motion)
    motion = source + torch.randn(500, 8) @ basis
    whitening.fit(motion - source)
    whitened = whitening(motion, source)
    torch.testing.assert_close(whitening.invert(whitened, source), motion, atol=1e-2, rtol=1e-3)
    assert 0.9 < whitened[:, :8].std() < 1.1
