"""Reports scores: tables for people, `scores.json` for programs, one line for both."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any, Final

from rich.box import SIMPLE_HEAD
from rich.table import Table

from dubline.training.evaluation.scores.summary import BASELINE, OWN, PORTRAITS, SPEECH

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from rich.console import Console

#: Heading and digits of each score; all of them fit into 80 columns.
COLUMNS: Final = {
    "psnr": ("PSNR", 2),
    "ssim": ("SSIM", 3),
    "face_gain_db": ("gain", 2),
    "lip_correlation": ("lips", 3),
    "av_lag_ms": ("lag", 0),
    "closure_rate": ("closed", 3),
    "false_closure_rate": ("false", 3),
    "silence_motion": ("rest", 3),
}
EDIT_COLUMNS: Final = {
    **{key: COLUMNS[key] for key in ("lip_correlation", "closure_rate", "false_closure_rate", "silence_motion")},
    "blink_rate": ("blinks/min", 1),
}
LEGEND: Final = (
    "PSNR, gain: dB; gain: inside the face box, relative to the still frame. lips: correlation with the true opening. "
    "lag: ms. closed: share of /p b m/ with closed lips; false: of open vowels. rest: lip speed in silence over speech."
)
LINE: Final = (
    "psnr",
    "ssim",
    "face_gain_db",
    "lip_correlation",
    "baseline_correlation",
    "av_lag_ms",
    "closure_rate",
    "false_closure_rate",
    "silence_motion",
    "boundary_ratio",
    "drift",
    "photo_faces",
    "photo_identity",
    "photo_lip_correlation",
    "photo_sharpness",
)


def headline(scores: Mapping[str, Any]) -> dict[str, float]:
    """Select the scores of the last line; NaN where nothing was measured."""
    own, speech = scores["table"][OWN], scores["table"][SPEECH]
    found = {
        **{key: own.get(key) for key in ("psnr", "ssim", "face_gain_db")},
        **{key: speech[key] for key in ("lip_correlation", "av_lag_ms", "closure_rate", "false_closure_rate")},
        "silence_motion": speech["silence_motion"],
        "baseline_correlation": scores["table"][BASELINE]["lip_correlation"],
        "boundary_ratio": scores["long"]["boundary_ratio"],
        "drift": scores["long"]["drift"],
        "photo_lip_correlation": scores["table"][PORTRAITS]["lip_correlation"],
        **{key: scores["portraits"][key] for key in ("photo_faces", "photo_identity", "photo_sharpness")},
    }
    return {key: math.nan if found[key] is None else found[key] for key in LINE}


def line(headline_scores: Mapping[str, float]) -> str:
    """Format `psnr=25.051 ssim=.. ...`, in the order of `LINE`."""
    return " ".join(f"{key}={headline_scores[key]:.3f}" for key in LINE)


def show(scores: Mapping[str, Any], console: Console) -> None:
    """Print the tables and all notes."""
    table = Table(title=f"{scores['clips']} held-out clips", caption=LEGEND, box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("", no_wrap=True)
    for heading, _ in COLUMNS.values():
        table.add_column(heading, justify="right", no_wrap=True)
    rows = {**scores["table"], **{f"pairs: {row}": values for row, values in scores["dense"].items()}}
    for row, values in rows.items():
        table.add_row(row, *(_cell(values.get(key), digits) for key, (_, digits) in COLUMNS.items()))
    console.print(table)
    console.print(_overrides(scores["overrides"]))
    facts = Table(box=SIMPLE_HEAD, show_header=False)
    for part in ("talkers", "portraits", "jaws", "human", "long"):
        for key, value in scores[part].items():
            if isinstance(value, int | float):
                facts.add_row(part, key, _cell(value))
    facts.add_row("clips", "identity", _cell(scores["clip_identity"]))
    console.print(facts)
    for note in scores["notes"]:
        console.print(f"Note: {note}", markup=False)


def _overrides(rows: Mapping[str, Mapping[str, float]]) -> Table:
    """Build the table of speech with and without the edits of the sampled motion."""
    table = Table(title="Edits of the sampled motion", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("", no_wrap=True)
    for heading, _ in EDIT_COLUMNS.values():
        table.add_column(heading, justify="right", no_wrap=True)
    for row, values in rows.items():
        table.add_row(row, *(_cell(values[key], digits) for key, (_, digits) in EDIT_COLUMNS.items()))
    return table


def write(scores: Mapping[str, Any], path: Path) -> None:
    """Write all scores as JSON; unknown values become null."""
    path.write_text(json.dumps(_plain(scores), indent=1, ensure_ascii=False) + "\n")


def _cell(value: float | None, digits: int = 3) -> str:
    if value is None or math.isnan(value):
        return "-"
    return str(value) if isinstance(value, int) else f"{value:.{digits}f}"


def _plain(value: Any) -> Any:
    """Replace NaN and infinity by None, because JSON has neither."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value
