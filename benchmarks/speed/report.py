"""The report of a run: tables, a plot, JSON, and the last line that scripts read."""

from __future__ import annotations

import json
from html import escape
from typing import TYPE_CHECKING, Any, Final

from benchmarks.speed.jobs import MEMORY_1080P
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from rich.console import Console

#: Figures of the last line: name, section, kind, and the path to the value.
FIGURES: Final = (
    ("rtf_base", "jobs", "base", ("now", "wall_s_per_s")),
    ("rtf_tiny", "jobs", "tiny", ("now", "wall_s_per_s")),
    ("rtf_base_1080p", "jobs", "base_1080p", ("now", "wall_s_per_s")),
    ("speedup_base", "jobs", "base", ("speedup_wall",)),
    ("speedup_tiny", "jobs", "tiny", ("speedup_wall",)),
    ("speedup_1080p", "jobs", "base_1080p", ("speedup_wall",)),
    ("mem_peak_mb", "memory", MEMORY_1080P, ("own_mb",)),
    ("overhead_p50_ms", "overhead", "", ("wall",)),
)
#: The same by processor time, which other work on the machine changes less.
PROCESSOR: Final = (
    ("processor_base", "jobs", "base", ("now", "processor_s_per_s")),
    ("processor_tiny", "jobs", "tiny", ("now", "processor_s_per_s")),
    ("processor_base_1080p", "jobs", "base_1080p", ("now", "processor_s_per_s")),
    ("speedup_base", "jobs", "base", ("speedup_processor",)),
    ("speedup_tiny", "jobs", "tiny", ("speedup_processor",)),
    ("speedup_1080p", "jobs", "base_1080p", ("speedup_processor",)),
    ("overhead_p50_ms", "overhead", "", ("processor",)),
)
STAGES: Final = ("preparing", "sampling", "rendering", "muxing")
COLOURS: Final = ("#bbbbbb", "#e69f00", "#0072b2", "#009e73")
#: Sizes of the plot, px.
WIDTH_PX: Final = 760
LABEL_PX: Final = 200
BAR_PX: Final = 18
ROW_PX: Final = 26


def line(results: Mapping[str, Any], figures: Iterable[tuple[str, str, str, tuple[str, ...]]] = FIGURES) -> str:
    """Return figures as `name=value`; `nan` for those of sections that were not run."""
    return " ".join(f"{name}={_figure(results, section, kind, path):.4g}" for name, section, kind, path in figures)


def print_section(console: Console, name: str, result: Any) -> None:
    """Print one section as a table: a row for each kind, nested values in columns of their own."""
    rows = [_flat(row) for row in (result if isinstance(result, list) else [result])]
    columns = list(dict.fromkeys(column for row in rows for column in row))
    table = Table(title=name)
    for column in columns:
        table.add_column(column.replace("_", " "), justify="left" if column == "name" else "right")
    for row in rows:
        table.add_row(*(_shown(row.get(column, "")) for column in columns))
    console.print(table)


def write(folder: Path, results: Mapping[str, Any]) -> None:
    """Write `results.json`, and `jobs.svg` if jobs were rendered."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "results.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    if results.get("jobs"):
        (folder / "jobs.svg").write_text(plot(results["jobs"]), encoding="utf-8")


def plot(kinds: list[Mapping[str, Any]]) -> str:
    """Draw wall time for a second of video as SVG: a bar for each kind and side, divided into stages."""
    bars = [
        (f"{kind['name']}, {side}", kind[side]["stages_s_per_s"])
        for kind in kinds
        for side in ("baseline", "now")
        if side in kind
    ]
    scale = (WIDTH_PX - LABEL_PX - 60) / max(sum(stages.values()) for _, stages in bars)
    height = ROW_PX * (len(bars) + 2)
    parts = [f'<rect width="{WIDTH_PX}" height="{height}" fill="white"/>']
    for row, (label, stages) in enumerate(bars):
        parts += _bar(ROW_PX * (row + 1), label, stages, scale)
    parts += _legend(height - ROW_PX + BAR_PX - 4)
    parts.append(f'<text x="4" y="{BAR_PX - 2}">Seconds of compute for a second of video</text>')
    style = 'font-family="sans-serif" font-size="13"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH_PX}" height="{height}" {style}>'
    return "\n".join([head, *parts, "</svg>", ""])


def _bar(top: int, label: str, stages: Mapping[str, float], scale: float) -> Iterator[str]:
    yield f'<text x="4" y="{top + BAR_PX - 4}">{escape(label)}</text>'
    left = float(LABEL_PX)
    for stage, colour in zip(STAGES, COLOURS, strict=True):
        width = scale * stages.get(stage, 0.0)
        yield f'<rect x="{left:.1f}" y="{top}" width="{width:.1f}" height="{BAR_PX}" fill="{colour}"/>'
        left += width
    yield f'<text x="{left + 5:.1f}" y="{top + BAR_PX - 4}">{sum(stages.values()):.2f} s</text>'


def _legend(base: int) -> Iterator[str]:
    for number, (stage, colour) in enumerate(zip(STAGES, COLOURS, strict=True)):
        left = LABEL_PX + 110 * number
        yield f'<rect x="{left}" y="{base - 11}" width="12" height="12" fill="{colour}"/>'
        yield f'<text x="{left + 17}" y="{base}">{stage}</text>'


def _figure(results: Mapping[str, Any], section: str, kind: str, path: tuple[str, ...]) -> float:
    found = results.get(section)
    if kind:
        found = next((row for row in found or () if row["name"] == kind), None)
    for name in path:
        found = None if found is None else found.get(name)
    return float("nan") if found is None else float(found)


def _flat(row: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in row.items():
        if name == "stages_s_per_s":
            flat[f"{prefix}stages, %"] = _shares(value)
        elif isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{name} ")
        else:
            flat[prefix + name] = value
    return flat


def _shares(stages: Mapping[str, float]) -> str:
    whole = sum(stages.values()) or 1.0
    return ", ".join(f"{stage} {100 * stages.get(stage, 0.0) / whole:.0f}" for stage in STAGES)


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return " to ".join(map(_shown, value))
    return f"{value:.3g}" if isinstance(value, float) else str(value)
