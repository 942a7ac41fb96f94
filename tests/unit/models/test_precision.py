"""Which number format rendering and training use on which processor."""

from __future__ import annotations

import pytest
import torch

from dubline.models.precision import bf16_autocast, training_autocast

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("matrix_units", "products", "rendering", "training"),
    [(False, False, False, False), (False, True, False, True), (True, True, True, True)],
)
def test_rendering_needs_matrix_units_for_bf16_and_training_only_products(
    monkeypatch: pytest.MonkeyPatch, *, matrix_units: bool, products: bool, rendering: bool, training: bool
) -> None:
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: matrix_units)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: products)
    left, right = torch.ones(2, 2), torch.ones(2, 2)
    with bf16_autocast(CPU):
        assert ((left @ right).dtype == torch.bfloat16) is rendering
    with training_autocast(CPU):
        assert ((left @ right).dtype == torch.bfloat16) is training
