"""The released TINY networks, loaded once, and a source frame for them."""

from __future__ import annotations

from copy import copy
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import torch

from dubline.models.weights import Networks, load_networks

if TYPE_CHECKING:
    from dubline.models.stage1.autoencoder import Source


@pytest.fixture(scope="session")
def networks() -> Networks:
    return load_networks("tiny", torch.device("cpu"))


@pytest.fixture(scope="session")
def quick(networks: Networks) -> Networks:
    """The same networks with two sampling steps, for what does not depend on their number."""
    diffusion = copy(networks.diffusion)
    diffusion.params = replace(diffusion.params, steps=2)
    return replace(networks, diffusion=diffusion)


@pytest.fixture(scope="session")
def source(networks: Networks) -> Source:
    torch.manual_seed(0)
    noise = torch.nn.functional.interpolate(torch.rand(1, 3, 8, 8) * 2 - 1, (128, 128), mode="bicubic")
    with torch.inference_mode():
        return networks.autoencoder.encode_source(noise.clamp(-1, 1))
