"""The environment of all tests and the profiles of property tests."""

from __future__ import annotations

import gc
import os
import signal
from typing import TYPE_CHECKING

import pytest
import structlog
from hypothesis import settings
from tests import workers
from tests.forks import Forks

from dubline.embedded.environment import inherited

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy as np
    from execnet import XSpec
    from PIL import Image
    from xdist.remote import Producer
    from xdist.scheduler import LoadFileScheduling

# Servers on loopback are reached past a proxy, and by no profile that is meant for AWS.
kept = inherited()
os.environ.clear()
os.environ.update(kept)

# A shell starts background commands with interrupts ignored, and processes of the tests would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Set before numpy and torch are loaded. One thread per process: the tests run in parallel processes, beside servers.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# Property tests repeat the same examples in every run. `--hypothesis-profile random` draws new ones, and more.
settings.register_profile("repeatable", deadline=None, derandomize=True, max_examples=50)
settings.register_profile("random", deadline=None, max_examples=1000)
settings.load_profile("repeatable")


# Modules and tests are many objects that live to the end: to search all of them for garbage again and again takes a
# tenth of the processor time of imports and tests.
gc.set_threshold(50_000, 20, 100)


def pytest_collection_finish() -> None:
    """Exclude what was imported and collected from the search for garbage."""
    gc.freeze()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_setupnodes(config: pytest.Config, specs: Sequence[XSpec]) -> None:
    """Fork the processes of a parallel run from one that has imported the tests."""
    workers.fork(config, specs)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadFileScheduling:
    """Run the tests of a file in one process, all that share the stack of tests/e2e in one, and all of training in one.

    The first optimiser of a process imports a compiler, which takes more than a second, and so does the count of costs.
    """
    from xdist.scheduler import LoadFileScheduling  # noqa: PLC0415 - only a parallel run needs it

    class Scheduling(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file: str = super()._split_scope(nodeid)
            folder = file.rpartition("/")[0]
            if "training" in folder.split("/") or file.endswith("tests/unit/models/test_cost.py"):
                return "training"
            return folder if folder.endswith("tests/e2e") and not file.endswith("test_up.py") else file

    return Scheduling(config, log)


@pytest.fixture(autouse=True, scope="session")
def _plain_logs() -> None:
    """Log one JSON object per event. The default renders the variables of each traceback, which takes seconds."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(default=str),
        ]
    )


@pytest.fixture(scope="session")
def forks() -> Iterator[Forks]:
    with Forks() as forks:
        yield forks


@pytest.fixture(scope="session")
def astronaut() -> Image.Image:
    """The NASA portrait of Eileen Collins, 512 x 512, public domain."""
    import skimage.data  # noqa: PLC0415 - loads numpy
    from PIL import Image  # noqa: PLC0415

    return Image.fromarray(skimage.data.astronaut())


@pytest.fixture
def noise() -> np.random.Generator:
    import numpy as np  # noqa: PLC0415 - the environment above comes first

    return np.random.default_rng(0)
