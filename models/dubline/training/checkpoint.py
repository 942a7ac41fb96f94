"""Averaged weights as files: `python -m dubline.training.checkpoint runs/base/stage1.pt`.

The command exports the average of a session's state as fp16 safetensors beside it. Keys are those of released weights
(`autoencoder.`, `diffusion.`), so that a released file, an exported average and the state of a session can each start a
session.
"""

from __future__ import annotations

import argparse
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from dubline.models.weights import SOURCE_GAP, shard, shard_name, widened
from dubline.training.cli_errors import UsageError, exit_on_usage_error

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor, nn

#: Key prefixes of a released file. A network ignores the prefixes of networks that it does not contain.
PARTS: Final = ("autoencoder.", "diffusion.", "readout.", SOURCE_GAP)


def save_average(network: nn.Module, path: Path, *, prefix: str = "", steps: int = 0) -> list[Path]:
    """Write an averaged network; see `write_average`."""
    return write_average(network.state_dict(), path, prefix=prefix, steps=steps)


def write_average(tensors: Mapping[str, Tensor], path: Path, *, prefix: str = "", steps: int = 0) -> list[Path]:
    """Write averages in fp16; integers stay integers. Former files stay until all new ones are written.

    Args:
        tensors: the averaged network's state.
        path: NAME.safetensors; above 15 MB it becomes NAME-1-of-2.safetensors and so on.
        prefix: of the network's keys in released weights, such as `diffusion.`.
        steps: training steps; `--resume` continues the count.

    Returns:
        Paths of the files.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    halves = {
        prefix + key: (tensor.half() if tensor.is_floating_point() else tensor).detach().cpu().contiguous()
        for key, tensor in tensors.items()
    }
    stale, parts = find_average(path), shard(halves)
    paths = [path.with_name(shard_name(path.stem, index, len(parts))) for index in range(1, len(parts) + 1)]
    with tempfile.TemporaryDirectory(dir=path.parent, prefix="unfinished-") as unfinished:
        for part, target in zip(parts, paths, strict=True):
            save_file(part, Path(unfinished, target.name), metadata={"steps": str(steps)})
        for target in paths:
            Path(unfinished, target.name).replace(target)
    for former in set(stale).difference(paths):
        former.unlink()
    return paths


def find_average(path: Path) -> list[Path]:
    """List the files of the weights called `path`: the file, its numbered parts, or the safetensors of a folder."""
    if path.is_dir():
        return sorted(path.glob("*.safetensors"))
    if path.exists():
        return [path]
    # Whole names: `stage1-*` would also find the parts of `stage1-old`.
    part = re.compile(rf"{re.escape(path.stem)}-\d+-of-\d+\.safetensors")
    return sorted(found for found in path.parent.glob("*.safetensors") if part.fullmatch(found.name))


def read_average(path: Path) -> tuple[dict[str, Tensor], int]:
    """Read averaged weights in fp32 and their steps from a session's state (`.pt`) or from safetensors files.

    Args:
        path: a state; NAME.safetensors, also if written in parts; or a folder of released weights.

    Raises:
        FileNotFoundError: there is no such file.
        UsageError: the state has no averages.
    """
    files = find_average(path)
    if not files:
        raise FileNotFoundError(f"there are no weights at {path}")
    tensors: dict[str, Tensor] = {}
    steps = 0
    for part in files:
        if part.suffix == ".safetensors":
            with safe_open(part, "pt") as file:
                tensors |= {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - not a mapping
                steps = int((file.metadata() or {}).get("steps", 0))
        else:
            state = torch.load(part, map_location="cpu", weights_only=True)
            if "average" not in state:
                raise UsageError(f"{path} has no averages: give the state of a training session")
            tensors, steps = state["average"], int(state.get("steps", 0))
    return {key: (t.float() if t.is_floating_point() else t) for key, t in tensors.items()}, steps


def load_average(
    network: nn.Module, tensors: Mapping[str, Tensor], *, prefix: str = "", optional: Sequence[str] = ()
) -> list[str]:
    """Load averages into a network; only optional keys may be missing or have another shape.

    Args:
        network: changed in place.
        tensors: of `read_average`; with the prefix (a released file) or without it (a session's state).
        prefix: of the network's keys in released weights.
        optional: key prefixes that may be missing or have another shape, such as `geometry_head.`.

    Returns:
        Keys that kept their values.

    Raises:
        UsageError: other keys are missing, unknown, or have another shape.
    """
    wanted = network.state_dict()
    parts = [part for part in PARTS if not any(key.startswith(part) for key in wanted)]
    if prefix and any(key.startswith(prefix) for key in tensors):
        given = {key.removeprefix(prefix): tensor for key, tensor in tensors.items() if key.startswith(prefix)}
    else:
        given = {key: tensor for key, tensor in tensors.items() if not key.startswith(tuple(parts))}
    given = {key: widened(key, t, wanted[key].shape) if key in wanted else t for key, t in given.items()}
    fitting = {key: t for key, t in given.items() if key in wanted and t.shape == wanted[key].shape}
    lenient = tuple(optional)
    # An optional part is loaded completely or not at all.
    broken = tuple(part for part in lenient if any(key.startswith(part) and key not in fitting for key in wanted))
    fitting = {key: tensor for key, tensor in fitting.items() if not key.startswith(broken)}
    kept = [key for key in wanted if key not in fitting]
    wrong = [key for key in {*kept, *(given.keys() - fitting.keys())} if not key.startswith(lenient)]
    if wrong:
        raise UsageError(f"weights of another network: {', '.join(sorted(wrong)[:6])} ({len(wrong)} keys)")
    network.load_state_dict({**wanted, **fitting})
    return kept


def main() -> None:
    """Parse the command line and export the average."""
    parser = argparse.ArgumentParser(prog="python -m dubline.training.checkpoint", description=__doc__)
    parser.add_argument("state", type=Path, help="state of a session, NAME.pt")
    path = parser.parse_args().state
    tensors, steps = read_average(path)
    # The state of stage 2 has keys without prefix.
    prefix = "" if any(key.startswith(PARTS) for key in tensors) else "diffusion."
    for written in write_average(tensors, path.with_suffix(".safetensors"), prefix=prefix, steps=steps):
        print(f"{written}: {written.stat().st_size / 1e6:.1f} MB, step {steps}")  # noqa: T201 - the result


if __name__ == "__main__":
    with exit_on_usage_error():
        main()
