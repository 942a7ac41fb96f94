"""Rows of a batch file in CSV, as spreadsheets write it: with comma, semicolon or tab."""

from __future__ import annotations

import csv
from io import StringIO
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

_COLUMN: Final = "custom_id"
_DELIMITERS: Final = ";,\t"
#: What `csv` says of a file that ends within quotation marks.
_OPEN: Final = "unexpected end of data"


def is_csv(text: str) -> bool:
    """Tell whether the first line is a header with the column `custom_id`."""
    return _COLUMN in [cell.strip().strip('"') for cell in _header(text).split(_delimiter(text))]


def read(text: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the number of each row's last line and its filled cells.

    A column with a dot is a field of a group: `controls.blink`.

    Raises:
        ValueError: a line is no CSV, or columns exclude each other; the message begins with the line.
    """
    rows = csv.reader(StringIO(text, newline=""), delimiter=_delimiter(text), strict=True)
    try:
        names = [name.strip() for name in next(cells for cells in rows if cells)]
        _check(names)
        for cells in rows:
            if any(cell.strip() for cell in cells):
                yield rows.line_num, _fields(names, cells)
    except (csv.Error, _ColumnError) as error:
        sentence = "a quotation mark is not closed" if str(error) == _OPEN else str(error)
        raise ValueError(f"line {rows.line_num}: {sentence}") from error


class _ColumnError(Exception):
    """Columns exclude each other."""


def _check(names: list[str]) -> None:
    for number, name in enumerate(names):
        group = name.rpartition(".")[0]
        if name and name in names[:number]:
            raise _ColumnError(f"there are two columns {name!r}; remove one")
        if group in names:
            raise _ColumnError(f"there are the columns {group!r} and {name!r}; remove one")


def _fields(names: list[str], cells: list[str]) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for number, cell in enumerate(cells):
        if cell.strip():
            # A cell without a header becomes a field of its own, which the row then refuses by name.
            name = names[number] if number < len(names) and names[number] else f"column {number + 1}"
            group, _, field = name.rpartition(".")
            (fields.setdefault(group, {}) if group else fields)[field] = cell.strip()
    return fields


def _header(text: str) -> str:
    return text.lstrip("\r\n").partition("\n")[0].rstrip("\r")


def _delimiter(text: str) -> str:
    return max(_DELIMITERS, key=_header(text).count)
