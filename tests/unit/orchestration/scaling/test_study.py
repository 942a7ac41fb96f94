"""The choice of settings, the figures and the command."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING
from xml.dom import minidom

import pytest

from dubline.orchestration.scaling.simulate import main
from dubline.orchestration.scaling.simulation.interval import interval
from dubline.orchestration.scaling.simulation.outcome import Outcome, total
from dubline.orchestration.scaling.simulation.policies import Candidate
from dubline.orchestration.scaling.simulation.study import Point, Result, best_other, choose

if TYPE_CHECKING:
    from pathlib import Path

    from dubline.orchestration.scaling.simulation.cluster import Controller

LAST = (
    r"slo_attained=[01]\.\d{4} gpu_hours_per_work_hour=\d+\.\d{3} "
    r"best_other_gpu_hours_per_work_hour=\d+\.\d{3} killed=0"
)


def result(name: str, in_time: int, device_s: float) -> Result:
    """Make a result of 100 jobs of one second."""
    outcome = Outcome(waits_s=[10.0] * in_time + [99.0] * (100 - in_time), work_s=100.0, device_s=device_s)

    def build(_: float) -> Controller:
        raise NotImplementedError

    return Result(Candidate(name, "{}", (), build), 1.0, (), {("bursty", 0): outcome})


def test_the_cheapest_setting_that_attains_the_goal_is_chosen() -> None:
    points = [Point(1.0, 1.0, 2.0), Point(2.0, 0.985, 1.5), Point(3.0, 0.96, 1.2), Point(4.0, 0.5, 1.1)]
    assert choose(points).value == 2.0


def test_without_a_setting_that_attains_the_goal_the_nearest_is_chosen() -> None:
    assert choose([Point(1.0, 0.7, 2.0), Point(2.0, 0.8, 1.5), Point(3.0, 0.6, 1.2)]).value == 2.0


def test_the_best_other_policy_attains_the_goal() -> None:
    own = result("own", 99, 110.0)
    others = [result("cheap", 90, 105.0), result("good", 96, 140.0), result("better", 97, 130.0)]
    assert best_other([own, *others], 50.0).candidate.name == "better"
    assert best_other([own, others[0]], 50.0).candidate.name == "cheap"


def test_outcomes_are_added_up_and_ranked() -> None:
    summed = total([Outcome([1.0, 3.0], 10.0, 20.0, 1, 2), Outcome([2.0, 4.0], 10.0, 30.0, 3, 4)])
    assert (summed.work_s, summed.device_s, summed.killed, summed.lost, summed.ratio) == (20.0, 50.0, 4, 6, 2.5)
    assert (summed.attained(3.0), summed.wait_s(0.5), summed.wait_s(0.95)) == (0.75, 2.0, 4.0)


def test_an_interval_has_the_quantile_of_few_measurements() -> None:
    measured = interval([1.0, 2.0, 3.0, 4.0, 5.0])
    assert measured.mean == 3.0
    assert measured.half == pytest.approx(2.776 * math.sqrt(2.5) / math.sqrt(5))
    assert interval([7.0]).half == math.inf


def test_the_command_prints_figures_of_a_file_and_draws(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trace, picture = tmp_path / "jobs.csv", tmp_path / "plot.svg"
    lines = "".join(
        f"{1800 * (number // 10)},{60 + number},{'base' if number % 2 else 'tiny'}\n" for number in range(60)
    )
    trace.write_text("arrival,device_s,preset\n" + lines)
    arguments = ["--seeds", "2", "--trace", str(trace), "--cold-start-s", "120", "--plot", str(picture)]
    assert main(arguments) == 0
    printed = capsys.readouterr().out
    assert "60 jobs; device hours by preset: base 0.7, tiny 0.7" in printed
    assert re.fullmatch(LAST, printed.splitlines()[-1])
    document = minidom.parseString(picture.read_text())  # noqa: S318 - written by the line above
    assert len(document.getElementsByTagName("polyline")) == 6


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "cannot be read: No such file or directory.\n"),
        (b"\xff\xd8", "is not UTF-8 text. Save it as CSV in UTF-8.\n"),
        (b"arrival,preset\n", "has no column device_s: expected the header arrival,device_s,preset\n"),
    ],
)
def test_the_command_refuses_a_file_in_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes | None, said: str
) -> None:
    trace = tmp_path / "trace.csv"
    if content is not None:
        trace.write_bytes(content)
    assert main(["--trace", str(trace)]) == 1
    assert capsys.readouterr().err == f"dubline: {trace} {said}"


def test_the_command_refuses_a_picture_in_no_folder_before_it_simulates(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(["--plot", str(tmp_path / "none" / "plot.svg")])
    assert "plot.svg' is not a file in a folder that exists" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--seeds", "0"], ["--cold-start-s", "-1"], ["--target-s", "nan"]])
def test_the_command_refuses_numbers_out_of_range(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(arguments)
    assert f"is {arguments[1]}, expected" in capsys.readouterr().err
