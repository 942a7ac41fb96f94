"""Batch files: a custom id, a portrait and a speech track in each row, in JSON Lines or CSV."""

from __future__ import annotations

import re
from pathlib import Path  # noqa: TC003 - pydantic resolves the fields' types
from typing import TYPE_CHECKING, Annotated, Any, Final

from pydantic import AfterValidator, Field, ValidationError

from dubline.client.calls.consent import Consent  # noqa: TC001 - pydantic resolves the fields' types
from dubline.client.calls.options import RequestedOptions
from dubline.client.errors import ClientError, ManifestError
from dubline.client.runs import csv_rows
from dubline.client.runs.local_files import file_fault, find
from dubline.options.deadline import DEADLINE_MAX_S, DEADLINE_MIN_S
from dubline.options.printable import is_printable
from dubline.options.refusals import sentence_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

_NEITHER: Final = (
    "this is neither a JSON object nor the header of a CSV file. Write one object a line, "
    '{"custom_id": "a", "portrait": "a.jpg", "speech": "a.mp3"}, or a first line with the columns custom_id, '
    "portrait and speech"
)
#: Where the JSON of one line is wrong; its number in the file is in front of the message.
_COLUMN: Final = re.compile(r" at line 1 column ([0-9]+)(?=\.)")


def _printable(text: str) -> str:
    if not is_printable(text):
        raise ValueError("The text has characters that cannot be printed. Use printable characters only.")
    return text


class Row(RequestedOptions):
    """A row of a batch file; `read_rows` makes its paths absolute."""

    custom_id: Annotated[str, Field(min_length=1, max_length=128), AfterValidator(_printable)]
    portrait: Path
    speech: Path
    consent: Consent | None = None
    """Of the person in the portrait."""
    deadline_s: Annotated[float, Field(ge=DEADLINE_MIN_S, le=DEADLINE_MAX_S, allow_inf_nan=False)] | None = None


def read_rows(path: Path) -> list[Row]:
    """Read a batch file. Paths are relative to its folder; empty lines are skipped.

    A file whose first line is a header with the column `custom_id` is CSV; every other one is JSON Lines.

    Raises:
        ManifestError: lists each invalid line, missing file and duplicate custom id.
        ClientError: the file cannot be read.
    """
    text = _text(path)
    rows: list[tuple[int, Row]] = []
    faults: list[str] = []
    try:
        for number, given in _given(text):
            try:
                row = Row.model_validate_json(given) if isinstance(given, str) else Row.model_validate(given)
                rows.append((number, _with_absolute_paths(path.parent, row)))
            except ValidationError as error:
                faults += [f"{path}, line {number}: {_message(one)}" for one in error.errors()]
    except ValueError as error:
        faults.append(f"{path}, {error}.")
    faults += [f"{path}, line {number}: {fault}." for number, fault in _row_faults(rows)]
    if not rows and not faults:
        faults = [f"{path} has no rows."]
    if faults:
        raise ManifestError(faults)
    return [row for _, row in rows]


def _given(text: str) -> Iterator[tuple[int, str | dict[str, Any]]]:
    if csv_rows.is_csv(text):
        yield from csv_rows.read(text)
        return
    lines = [(number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    if lines and not lines[0][1].lstrip().startswith("{"):
        raise ValueError(f"line {lines[0][0]}: {_NEITHER}")
    yield from lines


def _text(path: Path) -> str:
    try:
        # Editors and spreadsheets of Windows begin a file with a byte order mark.
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ClientError(f"Cannot read {path}: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise ClientError(f"{path} is not UTF-8 text. Save it as UTF-8; spreadsheets offer CSV UTF-8.") from error


def _with_absolute_paths(folder: Path, row: Row) -> Row:
    parent = folder.resolve()
    return row.model_copy(update={"portrait": find(parent / row.portrait), "speech": find(parent / row.speech)})


def _row_faults(rows: Iterable[tuple[int, Row]]) -> Iterable[tuple[int, str]]:
    first: dict[str, int] = {}
    for number, row in rows:
        for file in (row.portrait, row.speech):
            if fault := file_fault(file):
                yield number, fault
        if first.setdefault(row.custom_id, number) != number:
            yield number, f"custom_id {row.custom_id!r} is already used in line {first[row.custom_id]}"


def _message(fault: Mapping[str, Any]) -> str:
    where = ".".join(map(str, fault["loc"]))
    sentence = _COLUMN.sub(r" at character \1", sentence_of(fault))
    return f"{where}: {sentence}" if where else sentence
