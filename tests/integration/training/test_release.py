"""Release of trained averages from states and exported files; other weights are refused."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from dubline.models.cost import Cost
from dubline.models.motion.source_gap import SourceGap
from dubline.models.presets import TINY
from dubline.models.stage1.autoencoder import Autoencoder
from dubline.models.stage2.diffusion import Diffusion
from dubline.models.weights import WeightsError, load_networks, save_networks
from dubline.training import release
from dubline.training.checkpoint import save_average
from dubline.training.stage2.encoded_clips import fingerprint

if TYPE_CHECKING:
    from pathlib import Path

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give the cost that model cards state; to count it takes seconds, and `test_cost.py` does it."""
    cost = Cost(
        "tiny",
        parameters={"denoiser": 2_000_000},
        size_mb=8.5,
        gflop_source=1.0,
        gflop_motion_of_frame=0.1,
        gflop_sampling=2.0,
        gflop_rendering=1.75,
        gflop_rendering_parts={"frame_decoder": 1.0},
    )
    monkeypatch.setattr(release, "cost_of", lambda _: cost)


@pytest.fixture(scope="module")
def trained() -> dict[str, dict[str, Tensor]]:
    """Return the averages of both sessions as in their states: stage 1 with a head, stage 2 without prefix."""
    torch.manual_seed(0)
    autoencoder = {f"autoencoder.{key}": tensor for key, tensor in Autoencoder(TINY.autoencoder).state_dict().items()}
    head = {"geometry_head.weight": torch.zeros(3, 192), "geometry_head.bias": torch.zeros(3)}
    return {"stage1": autoencoder | head, "stage2": dict(Diffusion(TINY).state_dict())}


@pytest.fixture
def run(trained: dict[str, dict[str, Tensor]], tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    folder.mkdir()
    for stage, tensors in trained.items():
        torch.save({"average": tensors, "network": {}, "steps": 7}, folder / f"{stage}.pt")
    return folder


def released(stages: dict[str, dict[str, Tensor]], out: Path) -> dict[str, Tensor]:
    release.release(TINY, stages, out)
    networks = load_networks("tiny", CPU, out)
    autoencoder = {f"autoencoder.{key}": tensor for key, tensor in networks.autoencoder.state_dict().items()}
    return autoencoder | dict(networks.diffusion.state_dict())


def test_a_runs_averages_are_released_without_the_heads(
    trained: dict[str, dict[str, Tensor]], run: Path, tmp_path: Path
) -> None:
    found = released(release.read_stages(TINY, run, []), tmp_path / "out")
    everything = trained["stage1"] | trained["stage2"]
    expected = {k: v.half().float() for k, v in everything.items() if not k.startswith("geometry_head.")}
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[key], expected[key]) for key in expected)


def test_exported_averages_are_released(run: Path, tmp_path: Path) -> None:
    at_once = released(release.read_stages(TINY, run, []), tmp_path / "at_once")
    autoencoder, diffusion = Autoencoder(TINY.autoencoder), Diffusion(TINY)
    autoencoder.load_state_dict({k.removeprefix("autoencoder."): v for k, v in at_once.items() if "autoencoder." in k})
    diffusion.load_state_dict({k: v for k, v in at_once.items() if "autoencoder." not in k})
    files = [tmp_path / "one.safetensors", tmp_path / "two.safetensors"]
    for network, file, prefix in zip((autoencoder, diffusion), files, release.STAGES.values(), strict=True):
        save_average(network, file, prefix=prefix, steps=7)
    exported = released(release.read_stages(TINY, None, files), tmp_path / "exported")
    assert all(torch.equal(exported[key], at_once[key]) for key in at_once)
    for state in run.glob("*.pt"):
        state.unlink()
    (tmp_path / "one.safetensors").rename(run / "stage1.safetensors")
    (tmp_path / "two.safetensors").rename(run / "stage2.safetensors")
    assert release.read_stages(TINY, run, []).keys() == release.STAGES.keys()


def test_an_average_replaces_that_of_the_run(run: Path, tmp_path: Path) -> None:
    newer = Diffusion(TINY)
    torch.nn.init.ones_(newer.denoiser.position)
    save_average(newer, tmp_path / "newer.safetensors", prefix="diffusion.")
    found = released(release.read_stages(TINY, run, [tmp_path / "newer.safetensors"]), tmp_path / "out")
    assert found["denoiser.position"].min() == 1


def test_weights_that_are_released_again_keep_their_readings_of_lips(run: Path, tmp_path: Path) -> None:
    release.release(TINY, release.read_stages(TINY, run, []), tmp_path)
    networks = load_networks("tiny", CPU, tmp_path)
    assert networks.source_gap is None
    networks.readout.spoken_gap.fill_(0.5)
    first = replace(networks, source_gap=SourceGap())
    save_networks(first, tmp_path)
    release.release(TINY, release.read_stages(TINY, None, [tmp_path / "tiny"]), tmp_path / "again")
    again = load_networks("tiny", CPU, tmp_path / "again")
    assert torch.equal(again.readout.spoken_gap, first.readout.spoken_gap)
    assert again.source_gap is not None
    assert first.source_gap is not None
    torch.testing.assert_close(again.source_gap.state_dict(), first.source_gap.state_dict(), atol=1e-3, rtol=1e-3)
    other = tmp_path / "other.safetensors"
    save_average(Diffusion(TINY), other, prefix="diffusion.")
    release.release(TINY, release.read_stages(TINY, None, [tmp_path / "tiny", other]), tmp_path / "other")
    mixed = load_networks("tiny", CPU, tmp_path / "other")
    assert mixed.source_gap is not None
    assert not mixed.readout.spoken_gap.any(), "it is of another stage 2"


def test_a_missing_stage_is_an_error(run: Path) -> None:
    (run / "stage2.pt").unlink()
    with pytest.raises(FileNotFoundError, match="stage2"):
        release.read_stages(TINY, run, [])
    with pytest.raises(FileNotFoundError, match="give a run's folder"):
        release.read_stages(TINY, None, [run / "stage1.pt"])


def test_a_file_without_either_stage_is_refused(tmp_path: Path) -> None:
    save_file({"backbone.weight": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match="contains neither"):
        release.read_stages(TINY, None, [tmp_path / "other.safetensors"])


def test_a_stage_trained_with_another_objective_is_refused(run: Path) -> None:
    state = torch.load(run / "stage2.pt", weights_only=True)
    torch.save(state | {"companions": {"params": {"objective": "epsilon"}}}, run / "stage2.pt")
    with pytest.raises(ValueError, match="other parameters than those of tiny"):
        release.read_stages(TINY, run, [])


def test_a_stage_two_trained_on_the_latents_of_another_stage_one_is_refused(run: Path) -> None:
    autoencoder = Autoencoder(TINY.autoencoder)
    autoencoder.load_state_dict(
        {
            key.removeprefix("autoencoder."): tensor
            for key, tensor in torch.load(run / "stage1.pt", weights_only=True)["average"].items()
            if key.startswith("autoencoder.")
        }
    )
    state = torch.load(run / "stage2.pt", weights_only=True)
    torch.save(state | {"companions": {"params": {"stage1": fingerprint(autoencoder)}}}, run / "stage2.pt")
    release.read_stages(TINY, run, [])
    torch.save(state | {"companions": {"params": {"stage1": "another"}}}, run / "stage2.pt")
    with pytest.raises(ValueError, match="motion latents have changed"):
        release.read_stages(TINY, run, [])


def test_averages_of_another_preset_are_refused(run: Path, tmp_path: Path) -> None:
    stages = release.read_stages(TINY, run, [])
    del stages["stage1"]["autoencoder.deviation_decoder.head.bias"]
    with pytest.raises(ValueError, match="another network"):
        release.release(TINY, stages, tmp_path / "out")
    assert not (tmp_path / "out" / "tiny").exists()


def test_averages_that_overflow_in_fp16_are_refused(run: Path, tmp_path: Path) -> None:
    stages = release.read_stages(TINY, run, [])
    stages["stage2"]["source_std"][0] = 1e6
    with pytest.raises(WeightsError, match="not finite"):
        release.release(TINY, stages, tmp_path / "out")


def test_a_model_card_is_written_once_and_never_replaced(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["release", str(run), "--preset", "tiny", "--out", str(tmp_path)])
    release.main()
    card = tmp_path / "tiny" / "MODEL_CARD.md"
    assert "1.75 GFLOP a frame" in card.read_text()
    assert "weights.safetensors: 8.6 MB" in capsys.readouterr().out
    card.write_text("mine")
    release.main()
    assert card.read_text() == "mine"
