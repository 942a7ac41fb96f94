"""Sampling of motion by a thread of its own, while the frames of earlier windows are rendered."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from threading import Condition
from typing import TYPE_CHECKING, Self

from dubline.worker.rendering import device
from dubline.worker.rendering.ahead import REPORT_S, REPORTED_S

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from concurrent.futures import Future
    from types import TracebackType


class _EndedError(Exception):
    """The job has ended."""


class Sampler:
    """Samples the motion of one job. Its thread ends with the `with` block.

    Args:
        windows: samples; yields the number of frames that are done, after each window.
        report: called at least every `REPORT_S` while waiting; may raise to stop.
        crop_px: side of the crop, for `device.trim_memory`.

    Attributes:
        sampled: number of frames that have their motion.
    """

    def __init__(
        self, windows: Callable[[Sampler], Iterable[int]], report: Callable[[], None], crop_px: float = 0.0
    ) -> None:
        self.sampled = 0
        self._windows, self._report, self._crop_px = windows, report, crop_px
        self._pool = ThreadPoolExecutor(1, "sample", device.use_one_thread)
        self._changed, self._ended = Condition(), False
        self._active_s = time.monotonic()

    def __enter__(self) -> Self:
        self._whole: Future[None] = self._pool.submit(self._sample)
        self._whole.add_done_callback(lambda _: self._notify())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended = True
        self._pool.shutdown(cancel_futures=True)

    def touch(self) -> None:
        """Record that sampling goes on. `windows` calls it while it reads the recording.

        Raises:
            Exception: the job has ended.
        """
        if self._ended:
            raise _EndedError
        self._active_s = time.monotonic()

    def wait(self, frame: int) -> None:
        """Wait until the frames before this one have their motion.

        A window that takes longer than `REPORTED_S` is no longer reported, so that the heartbeat finds a call that
        never returns.

        Raises:
            Exception: what stopped the sampling.
        """
        while self.sampled < frame:
            with self._changed:
                self._changed.wait_for(lambda: self.sampled >= frame or self._whole.done(), REPORT_S)
            if self._whole.done():
                self._whole.result()
                break
            if time.monotonic() - self._active_s < REPORTED_S:
                self._report()

    def _sample(self) -> None:
        for sampled in self._windows(self):
            self.touch()
            self.sampled = sampled
            self._notify()
        # The windows' tensors are free. Frames are computed by other threads, which cannot use their memory.
        device.trim_memory(self._crop_px)

    def _notify(self) -> None:
        with self._changed:
            self._changed.notify_all()
