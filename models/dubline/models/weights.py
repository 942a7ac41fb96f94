"""Released weights: safetensors with a pinned hash, loaded strictly."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from safetensors.torch import load, save_file

from dubline.models.autoencoder import Autoencoder
from dubline.models.diffusion import Diffusion
from dubline.models.presets import PRESETS, Preset

if TYPE_CHECKING:
    import torch

RELEASED = Path(__file__).parent / "released"


class WeightsError(Exception):
    """The weights of a preset are missing or are not the released ones."""


@dataclass(frozen=True)
class Networks:
    """Both stages of one preset, ready to run. `sha256` names the weights."""

    preset: Preset
    autoencoder: Autoencoder
    diffusion: Diffusion
    sha256: str


def load_networks(name: str, device: torch.device, folder: Path = RELEASED) -> Networks:
    """Load a released preset onto a device.

    Raises:
        WeightsError: no such preset, no file, or its hash is not the one in the manifest.
    """
    if name not in PRESETS:
        raise WeightsError(f"there is no preset {name!r}; choose one of {', '.join(PRESETS)}")
    manifest, path = folder / name / "manifest.json", folder / name / "weights.safetensors"
    if not (manifest.exists() and path.exists()):
        raise WeightsError(f"no weights of preset {name!r} in {path.parent}; reinstall dubline or train them")
    data = path.read_bytes()
    sha256 = hashlib.sha256(data).hexdigest()
    if sha256 != json.loads(manifest.read_text())["sha256"]:
        raise WeightsError(f"{path} is not the file that its manifest names; reinstall dubline")
    preset = PRESETS[name]
    autoencoder, diffusion = Autoencoder(preset.autoencoder), Diffusion(preset)
    tensors = {key: tensor.float() for key, tensor in load(data).items()}
    for prefix, network in (("autoencoder.", autoencoder), ("diffusion.", diffusion)):
        part = {key.removeprefix(prefix): tensor for key, tensor in tensors.items() if key.startswith(prefix)}
        network.load_state_dict(part, strict=True)
        network.to(device).eval().requires_grad_(requires_grad=False)
    return Networks(preset, autoencoder, diffusion, sha256)


def save_networks(preset: Preset, autoencoder: Autoencoder, diffusion: Diffusion, folder: Path = RELEASED) -> Path:
    """Write weights in fp16 with their manifest; returns the weights' path."""
    target = folder / preset.name
    target.mkdir(parents=True, exist_ok=True)
    tensors = {
        prefix + key: tensor.half().contiguous()
        for prefix, network in (("autoencoder.", autoencoder), ("diffusion.", diffusion))
        for key, tensor in network.state_dict().items()
    }
    path = target / "weights.safetensors"
    save_file(tensors, path)
    data = path.read_bytes()
    manifest = {
        "preset": preset.name,
        "file": path.name,
        "sha256": hashlib.sha256(data).hexdigest(),
        "bytes": len(data),
        "parameters": {
            "autoencoder": sum(tensor.numel() for tensor in autoencoder.parameters()),
            "diffusion": sum(tensor.numel() for tensor in diffusion.parameters()),
        },
        "dtype": "float16",
        "licence": "Apache-2.0",
    }
    (target / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n")
    return path
