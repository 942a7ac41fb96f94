"""Unit tests open no socket; pictures and noise that several rooms look at."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import skimage.data
from PIL import Image
from pytest_socket import disable_socket, enable_socket

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def _no_sockets() -> Iterator[None]:
    # An event loop wakes itself through a pair of Unix sockets, which reach nothing.
    disable_socket(allow_unix_socket=True)
    yield
    enable_socket()


@pytest.fixture(scope="session")
def astronaut() -> Image.Image:
    """The NASA portrait of Eileen Collins, 512 x 512, public domain."""
    return Image.fromarray(skimage.data.astronaut())


@pytest.fixture
def noise() -> np.random.Generator:
    return np.random.default_rng(0)
