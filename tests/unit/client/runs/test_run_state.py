"""The file that a folder of videos keeps about an unfinished run."""

from __future__ import annotations

import tempfile
from typing import TYPE_CHECKING

import pytest

from dubline.client.errors import ClientError, RefusedError
from dubline.client.runs.run_state import RunState

if TYPE_CHECKING:
    from pathlib import Path

URL = "http://api.test"


def refuse(state: RunState, status: int, code: str) -> None:
    """Refuse what a run sends first."""
    with state.forgotten_if_refused():
        state.save(state.id)
        raise RefusedError(status, code, "No.")


def test_a_run_that_begins_again_has_the_key_and_the_id(tmp_path: Path) -> None:
    first = RunState(tmp_path, URL, ["a", "b"])
    first.save()
    first.save("batch-1")
    again = RunState(tmp_path, URL, ["a", "b"])
    assert (again.is_new, again.key, again.id) == (False, first.key, "batch-1")
    for url, rows in ((URL, ["a"]), (URL, ["ab"]), ("http://other.test", ["a", "b"])):
        assert RunState(tmp_path, url, rows).is_new


def test_a_renewed_run_has_another_key_from_then_on(tmp_path: Path) -> None:
    state = RunState(tmp_path, URL, ["a"])
    state.save("batch-1")
    before = state.key
    state.renew()
    state.save()
    assert state.key != before
    assert RunState(tmp_path, URL, ["a"]).key == state.key


def test_the_state_is_written_beside_the_videos_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # On another file system a finished file could not be given its name.
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "absent"))
    state = RunState(tmp_path, URL, ["a"])
    for identifier in (None, "batch-1"):
        state.save(identifier)
        assert list(tmp_path.iterdir()) == [state.path]
    assert state.path.stat().st_mode & 0o777 == 0o600
    state.forget()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("status", "code", "is_kept"),
    [(422, "invalid_request", False), (413, "body_too_large", False), (503, "unavailable", True), (401, "x", True)],
)
def test_what_is_refused_at_once_leaves_no_file(tmp_path: Path, status: int, code: str, is_kept: bool) -> None:
    state = RunState(tmp_path, URL, ["a"])
    with pytest.raises(ClientError):
        refuse(state, status, code)
    assert state.path.exists() == is_kept


@pytest.mark.parametrize("identifier", [None, "batch-1"])
def test_a_run_of_an_earlier_command_is_kept_if_it_is_refused(tmp_path: Path, identifier: str | None) -> None:
    RunState(tmp_path, URL, ["a"]).save(identifier)
    state = RunState(tmp_path, URL, ["a"])
    with pytest.raises(ClientError):
        refuse(state, 422, "invalid_request")
    assert state.path.exists()
