from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dubline.api.documents import VALUE_CHARS, Document, DocumentError

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda below: st.lists(below, max_size=4) | st.dictionaries(st.text(), below, max_size=4),
    max_leaves=20,
)


def read(text: str) -> Any:
    """Read a document with one step per member and per item of a member that is an array."""
    document = Document(text)
    read: dict[str, Any] = {}
    for name in document.members():
        read[name] = [document.value() for _ in document.items()] if document.peek() == "[" else document.value()
    document.end()
    return read


@given(st.dictionaries(st.text(), VALUES, max_size=5), st.sampled_from([None, 1]))
def test_reading_in_steps_equals_reading_at_once(value: Any, indent: int | None) -> None:
    assert read(json.dumps(value, indent=indent)) == value


@given(st.text(alphabet='{}[]",: \n\\u0a1-', max_size=12))
def test_reading_in_steps_refuses_what_a_json_parser_refuses(text: str) -> None:
    try:
        expected = json.loads("{" + text)
    except ValueError:
        with pytest.raises(DocumentError):
            read("{" + text)
    else:
        assert read("{" + text) == expected


@pytest.mark.parametrize(
    "value", ["[" * 5_000_000, '{"a":' * 1_000_000, '"' + "x" * VALUE_CHARS + '"', "9" * 5_000_000, "1" * 5_000]
)
def test_a_value_that_is_too_long_or_too_deep_is_refused(value: str) -> None:
    with pytest.raises(DocumentError):
        Document(value + " " * VALUE_CHARS).value()


@pytest.mark.parametrize("left", [1, 2, 100])
def test_a_value_is_not_cut_at_the_limit(left: int) -> None:
    text = " " * 7 + "1" * left + " " * VALUE_CHARS
    assert Document(text).value() == int("1" * left)
