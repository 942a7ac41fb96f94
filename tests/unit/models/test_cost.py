"""Counted costs equal those computed by hand, and every preset is within its budget."""

from __future__ import annotations

import json
import sys
from functools import cache

import pytest
import torch
from torch import nn

from dubline.models import cost
from dubline.models.cost import Cost, cost_of, count
from dubline.models.presets import PRESETS, TINY


@cache
def cost_by_name(name: str) -> Cost:
    return cost_of(PRESETS[name])


def test_the_count_of_a_small_network_is_exact() -> None:
    network = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.SiLU(), nn.Conv2d(8, 4, 1, stride=2), nn.Flatten())
    network.append(nn.Linear(4 * 8 * 8, 10))
    by_hand = 2 * (16 * 16 * 8 * 3 * 9) + 2 * (8 * 8 * 4 * 8) + 2 * (4 * 8 * 8 * 10)
    counted = count(lambda: network(torch.zeros(1, 3, 16, 16)))
    assert counted["Global"] * 1e9 == by_hand
    assert counted["Sequential.4"] * 1e9 == 2 * (4 * 8 * 8 * 10)


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_attention_is_counted_on_every_device(device: str) -> None:
    query, key = torch.zeros(2, 3, 5, 8, device=device), torch.zeros(2, 3, 7, 8, device=device)
    by_hand = 2 * (2 * 3 * 5 * 7 * 8) + 2 * (2 * 3 * 5 * 7 * 8)
    with torch.inference_mode():
        assert count(lambda: nn.functional.scaled_dot_product_attention(query, key, key))["Global"] * 1e9 == by_hand


def test_warps_and_resizing_are_counted() -> None:
    image, grid = torch.zeros(1, 3, 16, 16), torch.zeros(1, 8, 8, 2)
    assert (
        count(lambda: nn.functional.grid_sample(image, grid, align_corners=False))["Global"] * 1e9 == 3 * 8 * 8 * 4 * 2
    )
    larger = count(lambda: nn.functional.interpolate(image, (32, 32), mode="bilinear"))["Global"]
    assert larger * 1e9 == 3 * 32 * 32 * 4 * 2
    smaller = count(lambda: nn.functional.interpolate(image, (8, 8), mode="bilinear", antialias=True))["Global"]
    assert smaller * 1e9 == 3 * 8 * 8 * (4 + 4) * 2


def test_the_cost_of_tiny_is_that_of_its_model_card() -> None:
    tiny = cost_by_name("tiny")
    assert tiny.gflop_rendering == pytest.approx(1.74, abs=0.02)
    assert sum(tiny.parameters.values()) == pytest.approx(1.85e6 + 2.40e6, rel=0.01)
    assert tiny.size_mb == pytest.approx(8.5, abs=0.1)


def test_the_parts_sum_to_nearly_all_of_the_rendering_path() -> None:
    tiny = cost_by_name("tiny")
    explained = sum(tiny.gflop_rendering_parts.values())
    assert 0.99 * tiny.gflop_rendering < explained < tiny.gflop_rendering


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_is_within_its_budget_of_time_and_size(name: str) -> None:
    preset = cost_by_name(name)
    assert 0 < preset.gflop_rendering <= 6
    assert 0 < preset.size_mb <= 40


@pytest.mark.parametrize("name", PRESETS)
def test_sampling_costs_less_than_half_of_rendering(name: str) -> None:
    preset = cost_by_name(name)
    assert 0 < preset.gflop_sampling < 0.5 * preset.gflop_rendering * PRESETS[name].fps


def test_the_command_prints_one_object_per_preset(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["cost", "--preset", TINY.name, "--json"])
    monkeypatch.setattr(cost, "cost_of", lambda preset: cost_by_name(preset.name))
    cost.main()
    (printed,) = json.loads(capsys.readouterr().out)
    assert printed["preset"] == "tiny"
    assert printed["gflop_rendering"] == cost_by_name("tiny").gflop_rendering


def test_the_command_prints_a_table_of_all_presets(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["cost"])
    monkeypatch.setattr(cost, "cost_of", lambda preset: cost_by_name(preset.name))
    cost.main()
    printed = capsys.readouterr().out
    assert all(name in printed for name in PRESETS)
    assert "rendering path, GFLOP per frame" in printed
