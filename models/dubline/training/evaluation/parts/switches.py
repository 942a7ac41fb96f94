"""Switches a part of the networks off, or makes it uniform, by hooks; parameters are not changed."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, Final

import torch

from dubline.models.stage2.audio_encoder import MambaBlock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from torch import Tensor, nn

    from dubline.models.stage1.deviation import DeviationDecoder

    Hook = Callable[[nn.Module, tuple[Any, ...], Any], Any]
    Switches = dict[str, tuple[str, Hook]]


def stage1_switches(decoder: DeviationDecoder) -> Switches:
    """Return for each part of stage 1 the module to hook and its hook."""
    regions, planes = decoder.regions, decoder.planes

    def split(outputs: Tensor) -> list[Tensor]:
        return list(outputs.split([2 * regions, regions * planes, planes, planes], dim=1))

    def uniform_shares(_: nn.Module, __: tuple[Any, ...], outputs: Tensor) -> Tensor:
        flows, shares, *rest = split(outputs)
        return torch.cat([flows, torch.zeros_like(shares), *rest], dim=1)

    def alike_planes(_: nn.Module, __: tuple[Any, ...], outputs: Tensor) -> Tensor:
        flows, shares, masks, visibility = split(outputs)
        mean = shares.unflatten(1, (planes, regions)).mean(1, keepdim=True).expand(-1, planes, -1, -1, -1).flatten(1, 2)
        return torch.cat([flows, mean, masks.mean(1, keepdim=True).expand_as(masks), visibility], dim=1)

    def open_masks(_: nn.Module, __: tuple[Any, ...], outputs: Tensor) -> Tensor:
        flows, shares, masks, visibility = split(outputs)
        return torch.cat([flows, shares, torch.full_like(masks, 100.0), visibility], dim=1)

    return {
        "region shares uniform": ("deviation_decoder.head", uniform_shares),
        "depth planes move alike": ("deviation_decoder.head", alike_planes),
        "plane masks open": ("deviation_decoder.head", open_masks),
        "plane weights equal": (
            "source_encoder.plane_weight",
            lambda _, __, out: out.mean(1, keepdim=True).expand_as(out),
        ),
        "no appearance code": ("deviation_decoder.identity", _skip),
        "no deviation transformer": ("deviation_transformer.project", _zeros),
        "attention map uniform": (
            "deviation_decoder.attention",
            lambda _, __, out: out.mean((2, 3), keepdim=True).expand_as(out),
        ),
        "no deformation refiner": ("deformation_refiner.head", _zeros),
        "no mouth-eye refiner": ("mouth_eye_refiner", lambda _, given, __: given[2]),
        "no generated pixels": (
            "frame_decoder",
            lambda _, __, out: out._replace(occlusion=torch.zeros_like(out.occlusion)),
        ),
    }


def stage2_switches(style: Tensor) -> Switches:
    """Return for each part of stage 2 the module to hook and its hook; `style` (1, Z) is the mean over recordings."""

    def skip(_: nn.Module, given: tuple[Any, ...], out: tuple[Any, ...]) -> tuple[Any, ...]:
        return given[0], out[1]

    return {
        "style the mean of all recordings": ("style_extractor", lambda _, __, out: style.expand_as(out)),
        "no Mamba in the local extractor": ("articulation_extractor.*", skip),
        "no speech": ("articulation_extractor", _zeros),
    }


def present(network: nn.Module, switches: Switches) -> Switches:
    """Return the switches whose module the network has: some presets have no refiner."""
    return {part: (path, hook) for part, (path, hook) in switches.items() if _modules(network, path)}


#: Fields of the denoiser's condition that are set to 0: the mean person, or no previous frames.
CONDITIONS: Final = {
    "no appearance code": ("appearance",),
    "no source latent": ("source",),
    "no previous frames": ("previous", "known"),
}


@contextmanager
def switched_off(network: nn.Module, path: str, hook: Hook) -> Iterator[None]:
    """Switch off a module inside the context, or with `NAME.*` all Mamba blocks of NAME."""
    with ExitStack() as stack:
        for module in _modules(network, path):
            stack.callback(module.register_forward_hook(hook).remove)
        yield


@contextmanager
def without_condition(denoiser: nn.Module, fields: tuple[str, ...]) -> Iterator[None]:
    """Set fields of the denoiser's condition to 0 inside the context."""

    def clear(_: nn.Module, given: tuple[Any, ...]) -> tuple[Any, ...]:
        noisy, time, condition = given
        return noisy, time, condition._replace(**{name: torch.zeros_like(getattr(condition, name)) for name in fields})

    handle = denoiser.register_forward_pre_hook(clear)
    try:
        yield
    finally:
        handle.remove()


def _modules(network: nn.Module, path: str) -> list[nn.Module]:
    name, _, _ = path.partition(".*")
    named = dict(network.named_modules())
    if name != path:
        return [
            module for key, module in named.items() if key.startswith(f"{name}.") and isinstance(module, MambaBlock)
        ]
    return [named[name]] if name in named else []


def _zeros(_: nn.Module, __: tuple[Any, ...], out: Tensor) -> Tensor:
    return torch.zeros_like(out)


def _skip(_: nn.Module, given: tuple[Any, ...], __: object) -> Any:
    return given[0]
