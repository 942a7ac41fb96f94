from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import skimage.data
import torch
from torch import Tensor

from dubline.models import weights
from dubline.models.motion.readout import LIDS
from dubline.models.stage1.autoencoder import LIDS_MOVED
from dubline.models.weights import Networks, load_networks

if TYPE_CHECKING:
    from dubline.models.stage1.autoencoder import Source

CLOSURE = torch.tensor([0.0, 0.3, 1.0, 0.0])[:, None]


@pytest.fixture(scope="module")
def networks() -> Networks:
    return load_networks("base", torch.device("cpu"))


@pytest.fixture(scope="module")
def source(networks: Networks) -> Source:
    pixels = torch.from_numpy(skimage.data.astronaut()[20:212, 130:322].copy())
    with torch.inference_mode():
        return networks.autoencoder.encode_source(pixels.permute(2, 0, 1)[None].float() / 127.5 - 1)


def whitened(networks: Networks, source: Source, motion: Tensor) -> Tensor:
    whitening = networks.diffusion.whitening
    return whitening(motion, source.motion) - whitening(source.motion, source.motion)


@pytest.fixture(scope="module")
def blinking(networks: Networks, source: Source) -> Tensor:
    """Motion of four frames, the lids of which move by blinks only."""
    readout, whitening = networks.readout, networks.diffusion.whitening
    drawn = 0.3 * torch.randn(4, len(readout.lid_closure), generator=torch.Generator().manual_seed(0))
    drawn = readout.remove_reading(drawn, LIDS) + CLOSURE * readout.lid_closure
    return whitening.invert(drawn + whitening(source.motion, source.motion), source.motion)


def test_lids_are_opened_and_nothing_else_changes(networks: Networks, source: Source, blinking: Tensor) -> None:
    opened, closure = networks.open_lids(source, blinking)
    torch.testing.assert_close(closure, CLOSURE[:, 0], atol=0.02, rtol=0)
    before, after = (networks.readout(whitened(networks, source, motion)) for motion in (blinking, opened))
    assert after[:, LIDS].abs().max() < 0.02
    expected = before - CLOSURE * networks.readout(networks.readout.lid_closure)
    torch.testing.assert_close(after, expected, atol=5e-3, rtol=0)
    assert (opened == blinking).all(dim=1).tolist() == [True, False, False, True]


@torch.inference_mode()
def test_blinks_move_pixels_by_a_share_only(networks: Networks, source: Source, blinking: Tensor) -> None:
    opened = networks.open_lids(source, blinking)
    whole = networks.autoencoder.fields(source, blinking).displacement
    still = networks.autoencoder.fields(source, opened.motion).displacement
    limited = networks.autoencoder.fields(source, blinking, opened).displacement
    assert (whole - still)[2].abs().max() > 0.03
    torch.testing.assert_close(limited - still, LIDS_MOVED * (whole - still), atol=1e-4, rtol=0)


@torch.inference_mode()
def test_only_shut_lids_get_the_light_of_the_skin(networks: Networks, source: Source, blinking: Tensor) -> None:
    opened = networks.open_lids(source, blinking)
    after = networks.autoencoder.fields(source, blinking, opened).generated.colour
    before = networks.autoencoder.fields(source, blinking, opened._replace(closure=torch.zeros(4))).generated.colour
    assert (after != before).flatten(1).any(dim=1).tolist() == [False, False, True, False]
    lighter = after - before
    assert lighter.max() > 0.1
    # Only the lash line may be darker.
    assert lighter.clamp_min(0).sum() > 10 * lighter.clamp_max(0).abs().sum()


@torch.inference_mode()
def test_a_source_blinks_if_lids_cover_both_eyes(
    networks: Networks, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert networks.can_blink(source)
    monkeypatch.setattr(weights, "are_shut", lambda _occlusion: False)
    assert not networks.can_blink(source)
