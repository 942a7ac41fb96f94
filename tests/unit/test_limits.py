"""The figures of docs/limits.md equal the settings and constants that define them."""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from typing import Final

import pytest
from pydantic import AliasChoices

from dubline.options.render import OPTIONS
from dubline.orchestration import settings
from dubline.orchestration.domain import errors
from dubline.worker import settings as worker_settings

LIMITS: Final = Path(__file__).parents[2] / "docs" / "limits.md"
#: Factors of the units in the document; decibels are converted apart.
UNITS: Final = {
    "": 1.0,
    "%": 0.01,
    "px": 1.0,
    "ms": 1.0,
    "s": 1.0,
    "h": 3600.0,
    "days": 86_400.0,
    "years": 365 * 86_400.0,
    "kHz": 1000.0,
    "MB": 1e6,
    "GiB": 2.0**30,
}
FIGURE: Final = re.compile(r"(?<![\w.])(?P<number>-?\d[\d,]*(?:\.\d+)?)(?: (?P<unit>%|dBFS|[A-Za-z]+))?")
#: The parent of the codes about files, which is never sent.
NEVER_SENT: Final = {"bad_input"}


def rows(*columns: str) -> list[dict[str, str]]:
    """Return the rows of all tables that have these columns, as mappings from column to cell."""
    found = []
    for block in LIMITS.read_text().split("\n\n"):
        lines = [
            [cell.strip() for cell in line.strip("|").split("|")] for line in block.splitlines() if line[:1] == "|"
        ]
        if lines and set(columns) <= set(lines[0]):
            found += [dict(zip(lines[0], cells, strict=True)) for cells in lines[2:]]
    return found


def quoted(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def figures(cell: str) -> list[float]:
    """Return the numbers of a cell in seconds, bytes, hertz, pixels, or as a share of full scale."""
    values = []
    for match in FIGURE.finditer(cell):
        number = float(match["number"].replace(",", ""))
        unit = match["unit"] or ""
        values.append(10 ** (number / 20) if unit == "dBFS" else number * UNITS.get(unit, 1.0))
    return values


def group_of(name: str) -> type[settings.Settings]:
    """Return the settings group of that name, of the service or the worker."""
    found: type[settings.Settings] = getattr(settings, name, None) or getattr(worker_settings, name)
    return found


def variable(group: type[settings.Settings], field: str) -> str:
    """Return the environment variable of a setting, the current one where old names are accepted too."""
    alias = group.model_fields[field].validation_alias
    if isinstance(alias, AliasChoices):
        return str(alias.choices[0])
    return f"{group.model_config['env_prefix']}{field.upper()}"


def defined(name: str) -> object:
    """Return the value of a constant or the default of a setting.

    Args:
        name: `Group.field` of the settings, or a path below `dubline`, with a key in brackets for a mapping.
    """
    path, _, key = name.rstrip("]").partition("[")
    first, _, rest = path.partition(".")
    if first.endswith("Settings"):
        return group_of(first).model_fields[rest].get_default(call_default_factory=True)
    parts = path.split(".")
    for length in range(len(parts), 0, -1):
        module = ".".join(["dubline", *parts[:length]])
        try:
            value = importlib.import_module(module)
        except ModuleNotFoundError as missing:
            if missing.name is None or not module.startswith(missing.name):
                raise
            continue
        for part in parts[length:]:
            value = getattr(value, part)
        return value[key] if key else value
    raise AssertionError(f"dubline.{path} does not exist")


def numbers(value: object) -> list[float]:
    if isinstance(value, range):
        return [float(value[0]), float(value[-1])]
    assert isinstance(value, int | float)
    return [float(value)]


CHECKED: Final = [row for row in rows("defined in") if quoted(row["defined in"])]


def figure_cell(row: dict[str, str]) -> str:
    return next(row[column] for column in ("limit", "every", "value", "default") if column in row)


@pytest.mark.parametrize("row", CHECKED, ids=lambda row: row["defined in"])
def test_a_figure_equals_the_constant_that_defines_it(row: dict[str, str]) -> None:
    values = [defined(name) for name in quoted(row["defined in"])]
    cell = figure_cell(row)
    if isinstance(values[0], frozenset):
        assert set(quoted(cell)) == values[0]
    else:
        expected = [number for value in values for number in numbers(value)]
        assert figures(cell) == pytest.approx(expected, rel=0.005)


@pytest.mark.parametrize("row", rows("variable", "defined in"), ids=lambda row: row["what"])
def test_a_variable_belongs_to_the_setting_of_its_row(row: dict[str, str]) -> None:
    named = [name.split(".") for name in quoted(row["defined in"]) if "Settings." in name]
    assert quoted(row["variable"]) == [variable(group_of(group), field) for group, field in named]


@pytest.mark.parametrize("group", [settings.LimitSettings, worker_settings.LeaseSettings])
def test_every_limit_and_lease_setting_is_documented(group: type[settings.Settings]) -> None:
    documented = {name for row in CHECKED for name in quoted(row["defined in"])}
    assert {f"{group.__name__}.{field}" for field in group.model_fields} <= documented


def test_every_render_option_is_documented_with_its_range() -> None:
    documented = {quoted(row["option"])[0]: row["values"] for row in rows("option", "values", "default")}
    assert documented == {option.name: option.range for option in OPTIONS}


def test_a_documented_default_of_a_render_option_is_its_default() -> None:
    documented = {quoted(row["option"])[0]: row["default"] for row in rows("option", "values", "default")}
    fixed = {option.name: option.default for option in OPTIONS if option.default is not None}
    assert {name: documented[name] for name in fixed} == {
        name: value if isinstance(value, str) else f"{value:g}" for name, value in fixed.items()
    }


def tree(error: type[errors.DublineError]) -> set[type[errors.DublineError]]:
    return {error}.union(*(tree(below) for below in error.__subclasses__()))


def test_every_error_code_has_its_status_and_sentence() -> None:
    documented = {
        (quoted(row["code"])[0], row["status"], row["retryable"], row["sentence"]) for row in rows("code", "sentence")
    }
    raised = {
        (error.code, str(error.status), "yes" if error.retryable else "no", error().detail)
        for error in tree(errors.DublineError)
    }
    assert documented == {facts for facts in raised if facts[0] not in NEVER_SENT}
