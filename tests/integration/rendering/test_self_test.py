from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from dubline.worker.media import mux
from dubline.worker.rendering import self_test

if TYPE_CHECKING:
    from pathlib import Path

    from dubline.worker.rendering.pipeline import Renderer


def test_a_self_test_uses_decoder_networks_and_encoder(
    renderer: Renderer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[None] = []
    self_test.run(renderer, "base", tmp_path, lambda: steps.append(None))
    assert steps

    def fail(*_: object) -> None:
        raise KeyError("broken")

    monkeypatch.setattr(mux, "join", fail)
    with pytest.raises(KeyError):
        self_test.run(renderer, "base", tmp_path, lambda: None)
