"""Training sessions: resuming, starting from averages or released weights, reports and curves."""

from __future__ import annotations

import errno
import json
import math
import sys
from typing import TYPE_CHECKING, Any

import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from dubline.models import weights
from dubline.training import checkpoint, session
from dubline.training.curves import read_rows
from dubline.training.ema import Average
from dubline.training.session import Session

if TYPE_CHECKING:
    from pathlib import Path


class Model(nn.Module):
    def __init__(self, readings: int = 3) -> None:
        super().__init__()
        self.autoencoder = nn.Linear(4, 4)
        self.register_buffer("count", torch.tensor(5))
        self.geometry_head = nn.Linear(4, readings)

    def loss(self) -> Tensor:
        readings: Tensor = self.geometry_head(self.autoencoder(torch.ones(2, 4)))
        return readings.square().mean()


def run(path: Path, model: Model, steps: int = 3, **choices: Any) -> Session:
    defaults: dict[str, Any] = {"minutes": 1, "resume": False}
    running = Session(model, path, learning_rate=1e-2, batch=2, **(defaults | choices))
    for _ in range(steps):
        running.step(model.loss(), psnr=torch.tensor(20.0))
    return running


def same(one: nn.Module, other: nn.Module, tolerance: float = 0.0) -> bool:
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.allclose(a.float(), b.float(), atol=tolerance, rtol=tolerance) for a, b in pairs)


def test_resuming_restores_weights_moments_steps_and_companions(tmp_path: Path) -> None:
    path, companion = tmp_path / "run.pt", nn.Linear(1, 1)
    first = run(path, Model(), companions={"discriminator": companion})
    first.save()
    model, other = Model(), nn.Linear(1, 1)
    second = run(path, model, steps=0, resume=True, companions={"discriminator": other})
    assert same(model, first.network)
    assert same(second.average.network, first.average.network)
    assert same(other, companion)
    assert second.steps == second.average.steps == 3
    assert second.trained_s > 0
    assert second.figures["psnr"] == pytest.approx(20)
    assert second.optimiser.state_dict()["state"][0]["step"] == 3
    assert second.learning_rate > 0.9 * 1e-2


def test_a_resumed_average_goes_on_as_if_it_had_not_stopped(tmp_path: Path) -> None:
    run(tmp_path / "trained.pt", Model()).save()
    path = tmp_path / "run.pt"
    whole = run(path, Model(), steps=2, start_from=tmp_path / "trained.pt")
    whole.save()
    resumed = run(path, Model(), steps=0, resume=True)
    assert resumed.average.steps == whole.average.steps > resumed.steps == 2
    for running in (whole, resumed):
        nn.init.ones_(running.network.autoencoder.weight)  # type: ignore[union-attr, arg-type]
        running.average.update(running.network)
    assert same(whole.average.network, resumed.average.network)


def test_a_budget_of_steps_does_not_depend_on_time(tmp_path: Path) -> None:
    running = run(tmp_path / "run.pt", Model(), minutes=1e-9, budget=5)
    assert not running.finished
    assert running.progress == pytest.approx(3 / 5)
    running.step(Model().loss())
    running.step(Model().loss())
    assert running.finished
    running.save()
    again = run(tmp_path / "run.pt", Model(), steps=1, resume=True, budget=2)
    assert again.progress == pytest.approx(1 / 2)


def test_a_session_needs_minutes_or_steps(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="minutes or of steps"):
        run(tmp_path / "run.pt", Model(), minutes=math.inf)


def test_resuming_another_networks_state_suggests_start_from(tmp_path: Path) -> None:
    run(tmp_path / "run.pt", Model()).save()
    with pytest.raises(ValueError, match="--start-from"):
        run(tmp_path / "run.pt", Model(readings=5), resume=True)


def test_an_optional_part_is_loaded_completely_or_not_at_all(tmp_path: Path) -> None:
    first = run(tmp_path / "run.pt", Model())
    first.save()
    # The weight does not fit, the bias would.
    wider = Model()
    wider.geometry_head = nn.Linear(6, 3)
    bias = wider.geometry_head.bias.clone()
    Session(wider, tmp_path / "other.pt", minutes=1, learning_rate=1e-2, resume=False, start_from=tmp_path / "run.pt")
    assert same(wider.autoencoder, first.average.network.autoencoder, 1e-3)
    assert torch.equal(wider.geometry_head.bias, bias)


def test_an_average_of_trained_weights_follows_within_some_hundred_steps() -> None:
    network = nn.Linear(1, 1)
    nn.init.zeros_(network.weight)
    average = Average(network)
    average.skip_warm_up()
    nn.init.ones_(network.weight)
    followed = []
    for _ in range(300):
        average.update(network)
        followed.append(float(average.network.weight.detach()))
    assert followed[0] < 0.05
    assert followed[-1] > 0.9


def test_exported_averages_resume_with_a_fresh_optimiser(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = run(tmp_path / "run.pt", Model())
    written = first.save_average()
    assert [path.name for path in written] == ["run.safetensors"]
    model = Model()
    second = run(tmp_path / "run.pt", model, steps=0, resume=True)
    assert same(model, first.average.network, 1e-3)
    assert same(second.average.network, model)
    assert second.steps == 3
    assert not second.optimiser.state_dict()["state"]
    assert second.learning_rate < 1e-3
    assert capsys.readouterr().out.count("starting from the averages") == 1


def test_a_state_without_moments_resumes_from_its_averages(tmp_path: Path) -> None:
    path, truth = tmp_path / "run.pt", Model()
    torch.save({"average": {key: value.half() for key, value in truth.state_dict().items()}, "steps": 70}, path)
    model = Model()
    assert run(path, model, steps=0, resume=True).steps == 70
    assert same(model, truth, 1e-3)


def test_released_weights_start_stage_one_without_its_heads(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    truth, other = Model(), nn.Linear(2, 2)
    whole = nn.ModuleDict({"autoencoder": truth.autoencoder, "diffusion": other})
    whole.register_buffer("count", torch.tensor(5))
    checkpoint.save_average(whole, tmp_path / "released" / "weights.safetensors")
    model = Model(readings=9)
    head = model.geometry_head.weight.clone()
    run(tmp_path / "run.pt", model, steps=0, start_from=tmp_path / "released")
    assert same(model.autoencoder, truth.autoencoder, 1e-3)
    torch.testing.assert_close(model.geometry_head.weight, head)
    assert "untrained: geometry_head\n" in capsys.readouterr().out
    speaker = nn.Linear(2, 2)
    started = run(tmp_path / "two.pt", speaker, 0, start_from=tmp_path / "released", prefix="diffusion.")  # type: ignore[arg-type]
    assert same(speaker, other, 1e-3)
    (average,) = started.save_average()
    assert set(checkpoint.read_average(average)[0]) == {"diffusion.weight", "diffusion.bias"}


def test_exported_averages_stay_if_new_ones_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, truth = tmp_path / "run.safetensors", nn.Linear(8, 8)
    checkpoint.save_average(truth, path, steps=8)
    before, save = path.read_bytes(), checkpoint.save_file
    monkeypatch.setattr(weights, "FILE_BYTES", 300)
    written = list[object]()

    def full_disk(*given: Any, **named: Any) -> None:
        written.append(given)
        if len(written) > 1:
            raise OSError(errno.ENOSPC, "No space left on device")
        save(*given, **named)

    monkeypatch.setattr(checkpoint, "save_file", full_disk)
    with pytest.raises(OSError, match="No space left"):
        checkpoint.save_average(truth, path, steps=9)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
    monkeypatch.undo()
    monkeypatch.setattr(weights, "FILE_BYTES", 300)
    assert path not in checkpoint.save_average(truth, path, steps=9)
    assert not path.exists(), "its parts replace it"


def test_parts_of_averages_with_longer_names_are_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "FILE_BYTES", 300)
    former = checkpoint.save_average(nn.Linear(8, 8), tmp_path / "run-old.safetensors")
    assert len(former) > 1
    checkpoint.save_average(nn.Linear(8, 8), tmp_path / "run.safetensors")
    assert all(path.exists() for path in former)
    assert set(former).isdisjoint(checkpoint.find_average(tmp_path / "run.safetensors"))


def test_large_averages_are_written_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, truth = tmp_path / "run.safetensors", Model()
    monkeypatch.setattr(weights, "FILE_BYTES", 400)
    parts = checkpoint.save_average(truth, path, steps=8)
    assert len(parts) > 1
    assert not path.exists()
    tensors, steps = checkpoint.read_average(path)
    assert steps == 8
    model = Model()
    assert checkpoint.load_average(model, tensors) == []
    assert same(model, truth, 1e-3)
    assert model.count.dtype == torch.int64
    monkeypatch.undo()
    assert checkpoint.save_average(truth, path) == [path]
    assert list(tmp_path.iterdir()) == [path]


def test_the_command_exports_the_average_of_a_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    truth = nn.Linear(2, 2)
    torch.save({"average": truth.state_dict(), "steps": 9}, tmp_path / "stage2.pt")
    monkeypatch.setattr(sys, "argv", ["checkpoint", str(tmp_path / "stage2.pt")])
    checkpoint.main()
    assert "stage2.safetensors" in capsys.readouterr().out
    tensors, steps = checkpoint.read_average(tmp_path / "stage2.safetensors")
    assert (set(tensors), steps) == ({"diffusion.weight", "diffusion.bias"}, 9)


def test_weights_of_another_network_are_refused_with_their_keys() -> None:
    with pytest.raises(ValueError, match=r"autoencoder\.weight"):
        checkpoint.load_average(Model(), {"count": torch.tensor(1)}, optional=["geometry_head."])
    tensors = {**Model().state_dict(), "stranger": torch.zeros(1)}
    with pytest.raises(ValueError, match="stranger"):
        checkpoint.load_average(Model(), tensors)


def test_resuming_nothing_is_an_error_without_start_from(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="resume"):
        run(tmp_path / "run.pt", Model(), resume=True)
    (start,) = checkpoint.save_average(Model(), tmp_path / "start.safetensors", steps=50)
    assert run(tmp_path / "run.pt", Model(), steps=0, resume=True, start_from=start).steps == 0


def test_a_step_with_overflowing_gradients_changes_no_weight(tmp_path: Path) -> None:
    model = Model()
    running = run(tmp_path / "run.pt", model, steps=0)
    before = [parameter.clone() for parameter in model.parameters()]
    running.optimiser.param_groups[0]["weight_decay"] = 0
    running.step(model.loss() * torch.tensor(float("nan")), psnr=20.0)
    torch.testing.assert_close(list(model.parameters()), before)
    running.step(model.loss(), psnr=float("inf"))
    assert running.figures["psnr"] == 20


def test_reports_contain_all_figures_and_resuming_appends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(session, "REPORT_S", 0.0)
    path, model = tmp_path / "run.pt", Model()
    running = run(path, model, steps=0)
    assert running.fetch(lambda: 7) == 7
    running.waited_s = 1e-6
    running.step(model.loss(), psnr=20.0)
    line = capsys.readouterr().out
    for figure in ("psnr 20.0000", "grad_norm", "lr 1.0e-04", "steps/s", "samples/s", "data "):
        assert figure in line
    running.save()
    run(path, model, steps=2, resume=True).save()
    rows = read_rows(tmp_path / "run.jsonl")
    assert [row["step"] for row in rows] == [1, 2, 3]
    assert {"seconds", "loss", "psnr", "grad_norm", "lr", "steps_per_s", "samples_per_s", "data_share"} <= set(rows[0])
    with Image.open(tmp_path / "run.curves.png") as picture:
        assert picture.size == (960, 510)
        assert len(picture.getcolors(10_000) or []) > 3
    run(path, model, steps=1)
    assert len(read_rows(tmp_path / "run.jsonl")) == 1


def test_an_incomplete_last_row_is_skipped(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    path.write_text(json.dumps({"step": 1, "loss": None}) + '\n{"step": 2, "lo')
    assert read_rows(path) == [{"step": 1}]
