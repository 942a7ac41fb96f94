"""One time-boxed stretch of training: the clock that sets the learning rate, the progress line, the saved state."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any, Final, TypeVar

import torch
from rich.console import Console
from torch import Tensor

from dubline.training import checkpoint
from dubline.training.cli_errors import UsageError
from dubline.training.curves import Curves
from dubline.training.ema import Average

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from torch import nn

WARMUP_STEPS: Final = 200
FINAL_SHARE: Final = 0.04
REPORT_S: Final = 10.0
#: What a kill may cost.
SAVE_S: Final = 120.0
#: Beginnings of keys that averages may lack: teachers' heads, and what is trained on top of all else.
HEADS: Final = ("geometry_head.", "landmark_head.")
FRESH: Final = (*HEADS, "autoencoder.retoucher.")
#: How much of a figure the newest step replaces.
SMOOTHING: Final = 0.02

Drawn = TypeVar("Drawn")


def training_device() -> torch.device:
    """The CUDA GPU where there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


class Session:
    """Optimises one network for `minutes` or for a budget of steps, saving state to `path` now and then.

    The learning rate warms up, then falls as a cosine of the used share of the budget. Resuming continues
    weights, averages and optimiser moments, with a new budget. Beside `path` it keeps the curves: NAME.jsonl, a
    line a report, and NAME.curves.png.

    Args:
        network: on its device; its parameters are optimised, frozen ones left alone.
        path: the state's file, NAME.pt.
        minutes: the time box.
        budget: steps to take instead: a comparison must not depend on who else uses the machine.
        learning_rate: its peak.
        resume: go on from `path`. A state without an optimiser, or NAME.safetensors of `save_average` where NAME.pt
            is missing, goes on from the averages with fresh moments.
        start_from: averages to begin from unless there is something to resume: another session's state or
            released weights.
        prefix: what the network is called in released weights (stage 2: `diffusion.`).
        fresh: beginnings of keys that the weights to start from need not hold.
        batch: samples of a step; for the progress line.
        companions: what else must survive a restart and has a state_dict, by name, such as a discriminator.

    Raises:
        FileNotFoundError: nothing to resume or to start from.
        ValueError: the weights are of another network, or the session would never end.
    """

    def __init__(  # noqa: PLR0913 - each is a choice of the caller
        self,
        network: nn.Module,
        path: Path,
        *,
        minutes: float = math.inf,
        budget: int | None = None,
        learning_rate: float,
        resume: bool,
        start_from: Path | None = None,
        prefix: str = "",
        fresh: Sequence[str] = FRESH,
        batch: int = 0,
        companions: Mapping[str, Any] | None = None,
    ) -> None:
        if not math.isfinite(minutes) and not budget:
            raise UsageError("training needs a number of minutes or of steps")
        self.network, self.path, self.peak = network, path, learning_rate
        self.prefix, self.fresh, self.batch, self.companions = prefix, fresh, batch, companions or {}
        fused = next(network.parameters()).is_cuda
        self.optimiser = torch.optim.AdamW(
            network.parameters(), learning_rate, betas=(0.9, 0.98), weight_decay=0.02, fused=fused
        )
        self.average = Average(network)
        self.steps, self.trained_s = 0, 0.0
        # Which of `fresh` the averages that this began from did not hold.
        self.untrained: list[str] = []
        self.smooth: dict[str, float | Tensor] = {}
        self.console = Console()
        travelled = path.with_suffix(".safetensors")
        if resume and not path.exists() and checkpoint.find_average(travelled):
            self.steps = self._start_from(travelled)
        elif resume and (path.exists() or start_from is None):
            self._resume()
        elif start_from is not None:
            self._start_from(start_from)
        self.curves = Curves(path, keep=resume)
        self.box_s, self.budget, self.first_step = minutes * 60, budget, self.steps
        self.started = self.reported = self.saved = time.monotonic()
        # Fresh moments need a warm-up, trained ones do not.
        self.warm_step = self.steps - (WARMUP_STEPS if self.optimiser.state else 0)
        # Time, steps and seconds of waiting at the last report: rates are those since then.
        self.waited_s = 0.0
        self.mark = (self.started, self.steps, 0.0)

    def _resume(self) -> None:
        if not self.path.exists():
            raise FileNotFoundError(f"there is no {self.path} to resume; leave --resume out to begin")
        state: dict[str, Any] = torch.load(self.path, map_location="cpu", weights_only=True)
        if "optimiser" not in state:
            self.steps = self._start_from(self.path)
            return
        try:
            self.network.load_state_dict(state["network"])
            self.average.network.load_state_dict(state["average"])
        except RuntimeError as error:
            raise UsageError(f"{self.path} is of another network; --start-from takes what fits of it") from error
        self.optimiser.load_state_dict(state["optimiser"])
        for name, companion in self.companions.items():
            if name in state.get("companions", {}):
                companion.load_state_dict(state["companions"][name])
        self.steps = self.average.steps = state["steps"]
        self.trained_s, self.smooth = state.get("seconds", 0.0), dict(state.get("smooth", {}))

    def _start_from(self, path: Path) -> int:
        """Average into network and average; returns how many steps they were trained for."""
        tensors, steps = checkpoint.read_average(path)
        kept = checkpoint.load_average(self.network, tensors, prefix=self.prefix, fresh=self.fresh)
        self.average.network.load_state_dict(self.network.state_dict())
        self.average.skip_warm_up()
        self.untrained = [part for part in self.fresh if any(key.startswith(part) for key in kept)]
        also = f"; untrained: {', '.join(part.rstrip('.') for part in self.untrained)}" if self.untrained else ""
        self._say(f"starting from the averages in {path} (step {steps}), fresh optimiser{also}")
        return steps

    def save(self) -> None:
        """Write everything that resuming needs; a kill while writing leaves the older file."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = self.path.with_suffix(".part")
        state = {
            "network": self.network.state_dict(),
            "average": self.average.network.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "companions": {name: companion.state_dict() for name, companion in self.companions.items()},
            "steps": self.steps,
            "smooth": {key: float(value) for key, value in self.smooth.items()},
            "seconds": self.trained_s + time.monotonic() - self.started,
        }
        torch.save(state, unfinished)
        unfinished.replace(self.path)
        if self.smooth and self.curves.last_step != self.steps:
            self._write_curves(time.monotonic())
        self.curves.draw()
        self.saved = time.monotonic()

    def save_average(self, path: Path | None = None) -> list[Path]:
        """Write the average alone, in fp16, to NAME.safetensors: what travels back from a rented machine.

        Over 15 MB it is written in parts; all readers of averages take either. Returns the files' paths.
        """
        target = path or self.path.with_suffix(".safetensors")
        return checkpoint.save_average(self.average.network, target, prefix=self.prefix, steps=self.steps)

    @property
    def share(self) -> float:
        """How much of the budget is used, 0 to 1."""
        if self.budget is not None:
            return min(1.0, (self.steps - self.first_step) / self.budget)
        return min(1.0, (time.monotonic() - self.started) / self.box_s)

    @property
    def over(self) -> bool:
        """Whether the budget is used up."""
        return self.share >= 1

    @property
    def learning_rate(self) -> float:
        """The next step's."""
        warm = min(1.0, (self.steps - self.warm_step + 1) / WARMUP_STEPS)
        cosine = 0.5 * (1 + torch.cos(torch.tensor(torch.pi * self.share)).item())
        return self.peak * warm * (FINAL_SHARE + (1 - FINAL_SHARE) * cosine)

    def warm_up(self) -> None:
        """Begin the learning rate's warm-up again: what is trained from here on has no moments yet."""
        self.warm_step = self.steps

    def fetch(self, draw: Callable[[], Drawn]) -> Drawn:
        """Call `draw`, counting its time as waiting for data: `session.fetch(lambda: next(loader))`."""
        began = time.monotonic()
        drawn = draw()
        self.waited_s += time.monotonic() - began
        return drawn

    def step(self, loss: Tensor, **figures: float | Tensor) -> None:
        """Back-propagate, clip, update, average; report now and then.

        Args:
            loss: a scalar.
            **figures: for the progress line and the curves. Give tensors as they are: reading one off a GPU waits
                for it, so they are read once a report.
        """
        for group in self.optimiser.param_groups:
            group["lr"] = self.learning_rate
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        grad_norm = torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        for parameter in self.network.parameters():
            # One overflow would end the run: such a step is left out, without asking the GPU whether it came.
            if parameter.grad is not None:
                parameter.grad.nan_to_num_(0, 0, 0)
        self.optimiser.step()
        self.average.update(self.network)
        self.steps += 1
        for key, value in {"loss": loss, **figures, "grad_norm": grad_norm}.items():
            self.smooth[key] = smoothed(self.smooth.get(key), value)
        self._report()

    def _say(self, line: str) -> None:
        self.console.print(line, markup=False, soft_wrap=True)

    def _report(self) -> None:
        now = time.monotonic()
        if now - self.reported >= REPORT_S:
            self.reported = now
            row = self._write_curves(now)
            figures = "  ".join(f"{key} {row[key]:.4f}" for key in self.smooth)
            speed = f"lr {row['lr']:.1e}  {row['steps_per_s']:.2f} steps/s"
            speed += f"  {row['samples_per_s']:.1f} samples/s" if self.batch else ""
            speed += f"  data {row['data_share']:.0%}" if self.waited_s else ""
            self._say(f"step {self.steps}  {figures}  {speed}  {self._left()} left")
        if now - self.saved >= SAVE_S:
            self.save()

    def _left(self) -> str:
        if self.budget is not None:
            return f"{self.first_step + self.budget - self.steps} steps"
        return f"{(1 - self.share) * self.box_s / 60:.1f} min"

    def _write_curves(self, now: float) -> dict[str, float]:
        marked, steps, waited_s = self.mark
        elapsed, self.mark = max(now - marked, 1e-6), (now, self.steps, self.waited_s)
        rate = (self.steps - steps) / elapsed
        seconds = round(self.trained_s + now - self.started, 1)
        row = {"step": self.steps, "seconds": seconds, "lr": self.learning_rate}
        row |= {key: round(float(value), 6) for key, value in self.smooth.items()}
        row |= {"steps_per_s": round(rate, 3), "samples_per_s": round(rate * self.batch, 2)}
        row["data_share"] = round((self.waited_s - waited_s) / elapsed, 4)
        self.curves.add(row)
        return row


def smoothed(before: float | Tensor | None, value: float | Tensor) -> float | Tensor:
    """A moving average of a figure that one value that is not finite does not spoil; stays on its device."""
    if before is None or (isinstance(before, float) and not math.isfinite(before)):
        return value.detach() if isinstance(value, Tensor) else value
    if isinstance(value, Tensor):
        value = value.detach()
        before = torch.where(torch.as_tensor(before, device=value.device).isfinite(), before, value)
        value = torch.where(value.isfinite(), value, before)
    elif not math.isfinite(value):
        return before
    return before * (1 - SMOOTHING) + value * SMOOTHING
