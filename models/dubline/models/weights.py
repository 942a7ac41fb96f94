"""Released weights: safetensors files with a manifest of their hashes, loaded strictly."""

from __future__ import annotations

import hashlib
import json
import re
import tempfile
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple, Self

from safetensors import SafetensorError
from safetensors.torch import load, save

from dubline.models.cpu.autoencoder import compile_cores
from dubline.models.motion import key_frames
from dubline.models.motion.lids import open_lids, shut_lids
from dubline.models.motion.readout import LIPS, LinearReadout
from dubline.models.motion.source_gap import SourceGap
from dubline.models.presets import PRESETS, Preset
from dubline.models.stage1.autoencoder import Autoencoder
from dubline.models.stage1.shut_lids import are_shut
from dubline.models.stage2.diffusion import Diffusion

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from dubline.models.motion.key_frames import KeyFrames
    from dubline.models.stage1.autoencoder import Source
    from dubline.models.stage1.shut_lids import OpenLids

RELEASED: Final = Path(__file__).parent / "released"
MANIFEST: Final = "manifest.json"
#: Size limit of a file, so that repositories and package indexes accept it without special handling.
FILE_BYTES: Final = 15_000_000
#: Upper bound of a tensor's entry in the file header, without its name.
HEADER_BYTES: Final = 128
#: Tensors that weights may lack: they then keep the values of an unfitted readout, or the network is left out.
OPTIONAL: Final = "readout.spoken_gap"
SOURCE_GAP: Final = "source_gap."
#: Ends of the names of tensors of convolutions that have got inputs or outputs since they were released (decisions 0069
#: and 0072).
WIDENED: Final = (
    "mouth_eye_refiner.boxes.mouth.input_block.0.weight",
    "mouth_eye_refiner.boxes.mouth.output.2.weight",
    "mouth_eye_refiner.boxes.mouth.output.2.bias",
)
#: Files in a manifest are next to it; paths are rejected.
PLAIN_NAME: Final = re.compile(r"[A-Za-z0-9_-]+\.safetensors")


class WeightsError(Exception):
    """The weights of a preset are missing or are not the released ones."""


@dataclass(frozen=True)
class Networks:
    """The networks of one preset, ready to run."""

    preset: Preset
    """Its parameters."""
    autoencoder: Autoencoder
    """Stage 1."""
    diffusion: Diffusion
    """Stage 2."""
    readout: LinearReadout
    """Readout of whitened motion."""
    sha256: str
    """Hash of the weights; empty if they are not released."""
    source_gap: SourceGap | None = None
    """Reading of a source's lip gap; None if it is not trained."""

    @cached_property
    def size_bytes(self) -> int:
        """Memory of all tensors, and of those that another library computes with."""
        tensors = _tensors(self).values()
        return sum(tensor.nbytes for tensor in tensors) + self.autoencoder.compiled_bytes

    def compile(self, threads: int) -> None:
        """Let processes of another library compute the convolutions of rendering: for inference in fp32 on the CPU.

        Args:
            threads: that render at once, each with a process of its own.
        """
        compile_cores(self.autoencoder, threads)

    def can_blink(self, source: Source) -> bool:
        """Tell whether both eyes of a source can be shut: otherwise one would be a smudge."""
        if self.autoencoder.mouth_eye_refiner is None or not self.readout.lid_closure.any():
            return True
        shut = shut_lids(source.motion, self.diffusion.whitening, self.readout)
        return are_shut(self.autoencoder.fields(source, shut, self.open_lids(source, shut)).generated.occlusion)

    def open_lids(self, source: Source, motion: Tensor) -> OpenLids:
        """Take the blinks out of edited motion (T, M) of a source."""
        return open_lids(motion, source.motion, self.diffusion.whitening, self.readout)

    def key_frames(self, motion: Tensor, closure: Tensor) -> KeyFrames:
        """Choose the frames of a batch of edited motion (T, M) that have to be computed; see `motion.key_frames`.

        Args:
            motion: (T, M).
            closure: (T,), of the lids.
        """
        blinking = (closure > 0).cpu().numpy()
        gap = self.readout(self.diffusion.whitening(motion, motion[:1]))[:, LIPS].double().cpu().numpy()
        computed = key_frames.beside_steps(gap, self.preset.most_lip_step_cm)
        return key_frames.choose(motion.double().cpu().numpy(), blinking, self.preset.most_off, computed)

    def to(self, device: torch.device) -> Self:
        """Move all networks to a device."""
        for network in self.parts.values():
            network.to(device)
        return self

    @property
    def parts(self) -> dict[str, nn.Module]:
        """All networks, by the prefix of their tensors' names."""
        parts: dict[str, nn.Module] = {
            "autoencoder.": self.autoencoder,
            "diffusion.": self.diffusion,
            "readout.": self.readout,
        }
        return parts | ({SOURCE_GAP: self.source_gap} if self.source_gap else {})


class WeightsFile(NamedTuple):
    """One file of a preset's weights, as listed in the manifest."""

    name: str
    """File name, next to the manifest."""
    sha256: str
    """Hash of the file."""
    bytes: int
    """Its size."""


def released_sha256(name: str, folder: Path = RELEASED) -> str:
    """Return the hash of the released weights of a preset, from their manifest.

    Raises:
        WeightsError: the preset does not exist, or its manifest is missing or not valid.
    """
    if name not in PRESETS:
        raise WeightsError(f"there is no preset {name!r}; choose one of {', '.join(PRESETS)}")
    return _read_manifest(folder / name)[0]


def load_networks(name: str, device: torch.device, folder: Path = RELEASED) -> Networks:
    """Load a released preset onto a device.

    Raises:
        WeightsError: the preset does not exist; a file is missing, changed or not in the manifest; or the files have
            other tensors than the networks.
    """
    if name not in PRESETS:
        raise WeightsError(f"there is no preset {name!r}; choose one of {', '.join(PRESETS)}")
    target = folder / name
    sha256, files = _read_manifest(target)
    preset = PRESETS[name]
    networks = Networks(
        preset,
        Autoencoder(preset.autoencoder),
        Diffusion(preset),
        LinearReadout(preset.diffusion.whitened, preset.diffusion.audio_width),
        sha256,
        SourceGap(),
    )
    missing = _tensors(networks)
    for file in files:
        _copy_tensors(missing, target / file.name, _read(target, file))
    if missing.keys() >= (reading := {key for key in _tensors(networks) if key.startswith(SOURCE_GAP)}):
        networks = replace(networks, source_gap=None)
        missing = {key: tensor for key, tensor in missing.items() if key not in reading}
    if lacking := missing.keys() - {OPTIONAL}:
        raise WeightsError(f"the weights in {target} lack {len(lacking)} tensors, such as {min(lacking)}")
    for network in networks.to(device).parts.values():
        network.eval().requires_grad_(requires_grad=False)
    return networks


def save_networks(networks: Networks, folder: Path = RELEASED) -> list[Path]:
    """Write weights in fp16, in files of at most 15 MB with a manifest, and remove files of older weights.

    The same tensors give the same bytes. Older weights stay until all new files are written.

    Returns:
        The paths of the files.

    Raises:
        WeightsError: a value is not finite in fp16.
        OSError: a file cannot be written, as on a full disk.
    """
    target = folder / networks.preset.name
    target.mkdir(parents=True, exist_ok=True)
    tensors = _tensors(networks).items()
    shards = shard({key: _to_half(key, tensor) for key, tensor in tensors if key != OPTIONAL or tensor.any()})
    with tempfile.TemporaryDirectory(dir=target, prefix="unfinished-") as unfinished:
        files = []
        for index, part in enumerate(shards, 1):
            name = shard_name("weights", index, len(shards))
            data = save(part)
            Path(unfinished, name).write_bytes(data)
            files.append(WeightsFile(name, hashlib.sha256(data).hexdigest(), len(data)))
        _write_manifest(Path(unfinished), networks, files)
        for name in (*(file.name for file in files), MANIFEST):
            Path(unfinished, name).replace(target / name)
    paths = [target / file.name for file in files]
    for stale in set(target.glob("*.safetensors")).difference(paths):
        stale.unlink()
    return paths


def combined_sha256(files: list[WeightsFile]) -> str:
    """Combine the hashes of files: the hash of a single file, otherwise that of the output of `sha256sum` for them."""
    if len(files) == 1:
        return files[0].sha256
    return hashlib.sha256("".join(f"{file.sha256}  {file.name}\n" for file in files).encode()).hexdigest()


def _tensors(networks: Networks) -> dict[str, Tensor]:
    """Return all tensors by their names in the files; they share memory with the networks."""
    return {
        prefix + key: tensor
        for prefix, network in networks.parts.items()
        for key, tensor in network.state_dict().items()
    }


def _write_manifest(target: Path, networks: Networks, files: list[WeightsFile]) -> None:
    stages = {"autoencoder": networks.autoencoder, "diffusion": networks.diffusion}
    manifest = {
        "preset": networks.preset.name,
        "sha256": combined_sha256(files),
        "files": [file._asdict() for file in files],
        "parameters": {
            stage: sum(tensor.numel() for tensor in network.parameters()) for stage, network in stages.items()
        },
        "dtype": "float16",
        "licence": "Apache-2.0",
    }
    (target / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n")


def _read_manifest(target: Path) -> tuple[str, list[WeightsFile]]:
    path = target / MANIFEST
    if not path.exists():
        raise WeightsError(f"no weights of preset {target.name!r} in {target}; reinstall dubline or train them")
    try:
        manifest = json.loads(path.read_text())
        sha256 = str(manifest["sha256"])
        files = [WeightsFile(str(file["name"]), str(file["sha256"]), int(file["bytes"])) for file in manifest["files"]]
    except (ValueError, KeyError, TypeError) as error:
        raise WeightsError(f"{path} is not a manifest of weights; reinstall dubline") from error
    for file in files:
        if not PLAIN_NAME.fullmatch(file.name):
            raise WeightsError(f"{path} names {file.name!r}, which is not a plain file name; reinstall dubline")
    if combined_sha256(files) != sha256:
        raise WeightsError(f"{path} does not match the hashes of its files; reinstall dubline")
    if extra := {found.name for found in target.glob("*.safetensors")}.difference(file.name for file in files):
        raise WeightsError(f"{target / min(extra)} is not in its manifest; remove it or reinstall dubline")
    return sha256, files


def _read(target: Path, file: WeightsFile) -> bytes:
    path = target / file.name
    if not path.is_file():
        raise WeightsError(f"{path} is missing; reinstall dubline")
    # The size is compared first: a file of another size is not read.
    data = path.read_bytes() if path.stat().st_size == file.bytes else b""
    if hashlib.sha256(data).hexdigest() != file.sha256:
        raise WeightsError(f"{path} does not have the hash in its manifest; reinstall dubline")
    return data


def _copy_tensors(missing: dict[str, Tensor], path: Path, data: bytes) -> None:
    """Copy a file's tensors into the networks and remove them from the missing ones."""
    try:
        tensors = load(data)
    except SafetensorError as error:
        raise WeightsError(f"{path} contains no tensors; reinstall dubline") from error
    for key, read in tensors.items():
        tensor = widened(key, read, missing[key].shape) if key in missing else read
        if key not in missing or missing[key].shape != tensor.shape:
            raise WeightsError(
                f"{path} contains {key} {list(tensor.shape)}, which this version of dubline does not have"
            )
        if not tensor.isfinite().all():
            raise WeightsError(f"{path} contains values of {key} that are not finite; reinstall dubline or train them")
        missing.pop(key).copy_(tensor)


def widened(key: str, tensor: Tensor, shape: torch.Size) -> Tensor:
    """Let older weights fit a convolution that has got further inputs and outputs since: their weights are 0.

    Args:
        key: name of the tensor.
        tensor: of older or of present weights.
        shape: of the present network's tensor.

    Returns:
        The tensor itself if it is not one of `WIDENED`, or if it does not fit.
    """
    fits = tensor.ndim == len(shape) and all(map(int.__le__, tensor.shape, shape)) and tensor.shape[2:] == shape[2:]
    if not key.endswith(WIDENED) or not fits:
        return tensor
    whole = tensor.new_zeros(shape)
    whole[tuple(map(slice, tensor.shape))] = tensor
    return whole


def _to_half(key: str, tensor: Tensor) -> Tensor:
    half = tensor.half().contiguous()
    if not half.isfinite().all():
        raise WeightsError(f"{key} is not finite in fp16")
    return half


def shard_name(stem: str, index: int, count: int) -> str:
    """Return the name of the index-th of `count` files, counted from 1."""
    return f"{stem}.safetensors" if count == 1 else f"{stem}-{index}-of-{count}.safetensors"


def shard(tensors: dict[str, Tensor]) -> list[dict[str, Tensor]]:
    """Distribute tensors by name over files of at most 15 MB, in the order of their names."""
    shards: list[dict[str, Tensor]] = [{}]
    free_bytes = FILE_BYTES
    for key, tensor in sorted(tensors.items()):
        cost = tensor.nbytes + len(key) + HEADER_BYTES
        if cost > FILE_BYTES:
            raise WeightsError(f"{key} takes {cost} bytes, more than the limit of a file of weights")
        if cost > free_bytes and shards[-1]:
            shards.append({})
            free_bytes = FILE_BYTES
        shards[-1][key] = tensor
        free_bytes -= cost
    return shards
