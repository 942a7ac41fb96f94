"""Values and combinations of options that are refused, of every command, in sentences of Dubline."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import httpx2
import pytest
import typer
from tests.unit.client.cli.conftest import run

from dubline.client import exit_codes
from dubline.client.cli.commands import app

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.unit.client.service import Service

WRONG = ["x", "-1", "0.5", "nan", "1e999", "9" * 30, "2026-13-01", ""]
#: How errors of options begin, and that they say what is wrong and what to use.
SAID = re.compile(r"Error: Invalid value for '--[a-z-]+': .+\. .+\.\n")


def options(command: Any, *words: str) -> Iterator[tuple[str, ...]]:
    """Yield the words of each option with a value, of a command and of those below it."""
    for name, one in getattr(command, "commands", {}).items():
        yield from options(one, *words, name)
    if not hasattr(command, "commands"):
        for one in command.params:
            if one.param_type_name == "option" and not one.is_flag:
                yield (*words, one.opts[0])


#: Options whose values are texts and paths.
TEXTS = ("--portrait", "--speech", "--consent-file", "--scope", "--trace", "batch --out", "download --out")
ALL = [one for one in options(typer.main.get_command(app)) if not " ".join(one).endswith(TEXTS)]


@pytest.mark.parametrize("words", ALL, ids=" ".join)
def test_a_wrong_value_is_refused_in_two_sentences(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: tuple[str, ...]
) -> None:
    # A value that is accepted then ends with the missing key.
    monkeypatch.delenv("DUBLINE_API_KEY", raising=False)
    said = []
    for wrong in WRONG:
        assert run(monkeypatch, *words, wrong) == exit_codes.USAGE_ERROR
        said += [error for error in [capsys.readouterr().err] if "Invalid value" in error]
    assert said
    assert [error for error in said if not SAID.search(error)] == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("usage", "--csv", "--trace", "t.csv"), "Both --csv and --trace are given."),
        (("keys", "revoke", "dubline_secret"), "is not the id of a key, which `dubline keys list` shows."),
        (("keys", "rotate", ""), "is not the id of a key, which `dubline keys list` shows."),
        (("verify", "/dev/null"), "/dev/null is a device or a pipe"),
        (("verify", "."), ". is a folder; name a file."),
        (("up", "--port", "80"), "`dubline up` has no option --port."),
        (("up", "submit", "--seed", "1"), "write: dubline up -- dubline submit --seed 1"),
        (("up", "keys", "list"), "write: dubline up -- dubline keys list"),
    ],
)
def test_a_command_that_cannot_be_run_says_why(  # noqa: PLR0913, PLR0917 - fixtures and parameters
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    service: Service,
    capsys: pytest.CaptureFixture[str],
    words: tuple[str, ...],
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(monkeypatch, *words) == exit_codes.USAGE_ERROR
    error = capsys.readouterr().err
    assert error.startswith("dubline: ")
    assert said in error
    assert service.calls == []


def test_a_download_of_an_unknown_id_creates_no_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, service: Service
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(monkeypatch, "download", "nothing") == exit_codes.USAGE_ERROR
    assert service.calls
    assert list(tmp_path.iterdir()) == []


def test_another_server_is_not_taken_for_one_without_the_id(
    monkeypatch: pytest.MonkeyPatch, service: Service, capsys: pytest.CaptureFixture[str]
) -> None:
    service.faults["GET /v1/jobs/x"] = [httpx2.Response(404, content=b"<html>")]
    assert run(monkeypatch, "status", "x") == exit_codes.USAGE_ERROR
    assert "HTTP 404 from http://api.test/v1/jobs/x, not in the form of a Dubline server" in capsys.readouterr().err


def test_usage_without_jobs_says_so(
    monkeypatch: pytest.MonkeyPatch, service: Service, capsys: pytest.CaptureFixture[str]
) -> None:
    service.faults["GET /v1/usage"] = [httpx2.Response(200, json={"data": []})]
    assert run(monkeypatch, "usage", "--first", "2026-01-31") == 0
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ("", "No job became final in these days.\n")
    assert service.requests[0].url.query == b"first=2026-01-31"


def test_the_version_is_shown_without_a_key(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("DUBLINE_API_KEY", raising=False)
    assert run(monkeypatch, "--version") == 0
    assert re.fullmatch(r"dubline \d+\.\d+\.\d+\S*\n", capsys.readouterr().out)


def test_the_help_lists_the_presets(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(monkeypatch, "submit", "--help") == 0
    assert "--preset base|tiny" in capsys.readouterr().out


def test_the_group_of_keys_shows_its_commands(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run(monkeypatch, "keys")
    shown = capsys.readouterr()
    assert "rotate" in shown.out + shown.err
