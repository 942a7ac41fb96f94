from __future__ import annotations

import io

from rich.console import Console

from dubline.client.cli.display import ProgressBars, ProgressDisplay, ProgressLines, progress_display


def displayed(rows: int, *, terminal: bool) -> tuple[ProgressDisplay, io.StringIO]:
    text = io.StringIO()
    return progress_display(Console(file=text, force_terminal=terminal, width=120), rows), text


def test_without_a_terminal_each_change_of_state_is_one_line() -> None:
    lines, text = displayed(2, terminal=False)
    assert isinstance(lines, ProgressLines)
    with lines:
        lines.show("[red]a", "queued", 0)
        lines.show("[red]a", "running", 10, "sampling")
        lines.show("[red]a", "running", 60, "rendering")
        lines.finish("[red]a", "done", "out/a.mp4")
    assert text.getvalue() == "[red]a: queued\n[red]a: running\n[red]a: done out/a.mp4\n"


def test_on_a_terminal_each_row_has_a_bar() -> None:
    bars, text = displayed(2, terminal=True)
    assert isinstance(bars, ProgressBars)
    with bars:
        bars.show("a", "queued", 0)
        bars.show("b", "running", 40, "rendering")
        bars.finish("a", "done", "out/a.mp4")
        bars.finish("b", "failed", "no_face")
    for shown in ("100%", "done out/a.mp4", "failed no_face", "all"):
        assert shown in text.getvalue()


def test_with_many_rows_only_running_ones_have_a_bar() -> None:
    bars, text = displayed(10_000, terminal=True)
    with bars:
        bars.show("waiting", "queued", 0)
        bars.show("running-row", "running", 40, "rendering")
        bars.finish("waiting", "failed", "no_face")
        bars.finish("running-row", "done", "out/running-row.mp4")
    last_frame = text.getvalue().split("all")[-1]
    assert "running-row" not in last_frame
    assert "waiting" not in last_frame
