"""One option of a render: its name, column, bounds, default and description."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields, is_dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Key of an `Option` in the metadata of a dataclass field.
_METADATA: Final = "option"
#: Words for the multiples that have one.
_MULTIPLES: Final = {2: "even"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """One scalar that a sender chooses. `default`, `least` and `most` are in the option's own unit."""

    name: str
    """Dotted path in requests, batch files and `RenderOptions`: `controls.blink`."""
    column: str
    """Column of the table of jobs."""
    label: str
    """How messages call it: `The {label} is 3. Use 0 to 2.`"""
    description: str
    """One sentence for the API's schema and the command line."""
    default: Any
    """None: chosen by the service when the job is accepted or rendered."""
    example: Any
    code: str
    """Error code of a value that is out of bounds."""
    least: float | None = None
    """Smallest value; None: not bounded."""
    most: float | None = None
    """Largest value; None: not bounded."""
    multiple_of: int | None = None
    choices: frozenset[str] | None = None

    @property
    def range(self) -> str:
        """The accepted values in words: `0 to 2`."""
        if self.choices is not None:
            return f"one of: {', '.join(sorted(self.choices))}"
        bounds = f"{_digits(self.least)} to {_digits(self.most)}"
        if self.multiple_of is None:
            return bounds
        return f"{bounds}, {_MULTIPLES.get(self.multiple_of) or f'a multiple of {self.multiple_of}'}"

    def accepts(self, value: Any) -> bool:
        """Tell whether a value is within the bounds; None is accepted where the default is None."""
        if value is None:
            return self.default is None
        if self.choices is not None:
            return value in self.choices
        # Written so that NaN is refused.
        within = self.least is None or self.most is None or self.least <= value <= self.most
        return within and (self.multiple_of is None or value % self.multiple_of == 0)

    def value_of(self, options: Any) -> Any:
        """Read this option from a `RenderOptions`."""
        for part in self.name.split("."):
            options = getattr(options, part)
        return options

    def check_sql(self) -> str | None:
        """Return the SQL condition on the column; None where there are no numeric bounds."""
        if self.least is None or self.most is None:
            return None
        bounds = f"{self.column} BETWEEN {_digits(self.least)} AND {_digits(self.most)}"
        return bounds if self.multiple_of is None else f"{bounds} AND {self.column} % {self.multiple_of} = 0"


def option(default: Any, description: str, **bounds: Any) -> Any:
    """Declare a dataclass field that is an option.

    Args:
        default: value where the sender gives none.
        description: one sentence.
        bounds: further fields of `Option`; `column` defaults to the field's name, `label` likewise.
    """
    return field(default=default, metadata={_METADATA: {"description": description, **bounds}})


def options_of(kind: type, prefix: str = "") -> Iterator[Option]:
    """Yield the options that a dataclass and the dataclasses in its fields declare, in order."""
    for one in fields(kind):
        if _METADATA in one.metadata:
            declared: dict[str, Any] = {"column": one.name, "label": one.name, "example": one.default}
            yield Option(name=prefix + one.name, default=one.default, **declared | one.metadata[_METADATA])
        elif is_dataclass(one.default):
            yield from options_of(type(one.default), f"{prefix}{one.name}.")


def _digits(bound: float | None) -> str:
    return str(int(bound)) if bound is not None and math.isfinite(bound) and bound == int(bound) else str(bound)
