from __future__ import annotations

from pathlib import PurePosixPath, PureWindowsPath

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dubline.client.runs.filenames import file_names

ids = st.lists(st.text(min_size=1, max_size=300), unique=True, max_size=8)


def test_a_safe_file_name_is_kept() -> None:
    assert file_names(["greeting-de_0017.v2"], ".mp4") == {"greeting-de_0017.v2": "greeting-de_0017.v2.mp4"}


@pytest.mark.parametrize(
    "hostile",
    ["../../etc/passwd", "/etc/passwd", "..", ".", "a/b", "a\\b", "C:\\x", "con", "-rf", ".bashrc", "\0"],
)
def test_a_hostile_id_stays_in_its_folder(hostile: str) -> None:
    name = file_names([hostile], ".mp4")[hostile]
    assert PurePosixPath(name).name == name == PureWindowsPath(name).name
    assert not name.startswith((".", "-"))


@settings(max_examples=60)
@given(ids)
def test_names_are_safe_and_unique_on_case_insensitive_systems(custom_ids: list[str]) -> None:
    names = file_names(custom_ids, ".mp4")
    assert set(names) == set(custom_ids)
    assert len({name.casefold() for name in names.values()}) == len(custom_ids)
    for name in names.values():
        assert PurePosixPath(name).name == name == PureWindowsPath(name).name
        assert len(name.encode()) <= 255
        assert not name.startswith(".")


def test_an_id_that_equals_a_generated_name_gets_another_name() -> None:
    generated = file_names(["a/b"], "")["a/b"]
    assert len(set(file_names([generated, "a/b"], "").values())) == 2
