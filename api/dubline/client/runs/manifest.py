"""Batch files in JSON Lines: a custom id, a portrait and a speech track in each row."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - pydantic resolves the fields' types
from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator, Field, ValidationError

from dubline.client.calls.options import RequestedOptions
from dubline.client.errors import ClientError, ManifestError

if TYPE_CHECKING:
    from collections.abc import Iterable


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("use printable characters only")
    return text


class Row(RequestedOptions):
    """A row of a batch file; `read_rows` makes its paths absolute."""

    custom_id: Annotated[str, Field(min_length=1, max_length=128), AfterValidator(_printable)]
    portrait: Path
    speech: Path
    deadline_s: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None


def read_rows(path: Path) -> list[Row]:
    """Read a batch file. Paths are relative to its folder; empty lines are skipped.

    Raises:
        ManifestError: lists each invalid line, missing file and duplicate custom id.
        ClientError: the file cannot be read.
    """
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except OSError as error:
        raise ClientError(f"Cannot read {path}: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise ClientError(f"{path} is not UTF-8 text.") from error
    rows: list[tuple[int, Row]] = []
    faults: list[str] = []
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                rows.append((number, _with_absolute_paths(path.parent, Row.model_validate_json(line))))
            except ValidationError as error:
                faults += [f"{path}, line {number}: {_message(one)}." for one in error.errors()]
    faults += [f"{path}, line {number}: {fault}." for number, fault in _row_faults(rows)]
    if not rows and not faults:
        faults = [f"{path} has no rows."]
    if faults:
        raise ManifestError(faults)
    return [row for _, row in rows]


def _with_absolute_paths(folder: Path, row: Row) -> Row:
    parent = folder.resolve()
    return row.model_copy(update={"portrait": parent / row.portrait, "speech": parent / row.speech})


def _row_faults(rows: Iterable[tuple[int, Row]]) -> Iterable[tuple[int, str]]:
    first: dict[str, int] = {}
    for number, row in rows:
        for file in (row.portrait, row.speech):
            if not file.is_file():
                yield number, f"the file {file} does not exist"
        if first.setdefault(row.custom_id, number) != number:
            yield number, f"custom_id {row.custom_id!r} is already used in line {first[row.custom_id]}"


def _message(error: object) -> str:
    facts = dict(error) if isinstance(error, dict) else {}
    where = ".".join(str(part) for part in facts.get("loc", ()))
    return f"{where}: {facts.get('msg')}" if where else str(facts.get("msg"))
