from __future__ import annotations

import io

from rich.console import Console

from dubline.client.cli.display import Bars, Board, Lines, board


def drawn(rows: int, *, terminal: bool) -> tuple[Board, io.StringIO]:
    text = io.StringIO()
    return board(Console(file=text, force_terminal=terminal, width=120), rows), text


def test_without_a_terminal_each_change_of_state_is_one_plain_line() -> None:
    lines, text = drawn(2, terminal=False)
    assert isinstance(lines, Lines)
    with lines:
        lines.show("[red]a", "queued", 0)
        lines.show("[red]a", "running", 10, "sampling")
        lines.show("[red]a", "running", 60, "rendering")
        lines.finish("[red]a", "done", "out/a.mp4")
    assert text.getvalue() == "[red]a: queued\n[red]a: running\n[red]a: done out/a.mp4\n"


def test_on_a_terminal_each_row_has_a_bar() -> None:
    bars, text = drawn(2, terminal=True)
    assert isinstance(bars, Bars)
    with bars:
        bars.show("a", "queued", 0)
        bars.show("b", "running", 40, "rendering")
        bars.finish("a", "done", "out/a.mp4")
        bars.finish("b", "failed", "no_face")
    for shown in ("100%", "done out/a.mp4", "failed no_face", "all"):
        assert shown in text.getvalue()


def test_of_very_many_rows_only_those_that_move_have_a_bar() -> None:
    bars, text = drawn(10_000, terminal=True)
    with bars:
        bars.show("resting", "queued", 0)
        bars.show("moving", "running", 40, "rendering")
        bars.finish("resting", "failed", "no_face")
        bars.finish("moving", "done", "out/moving.mp4")
    last_frame = text.getvalue().split("all")[-1]
    assert "moving" not in last_frame
    assert "resting" not in last_frame
