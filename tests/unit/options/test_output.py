"""How a command ends whose output is not read."""

from __future__ import annotations

import os
import sys
from contextlib import redirect_stdout
from typing import TYPE_CHECKING, Final

import pytest
from rich.console import Console
from tests.unread import unread_output

from dubline.options.output import UNREAD, exit_if_unread

if TYPE_CHECKING:
    from collections.abc import Callable

AT_THE_END: Final = -1
LINE_BY_LINE: Final = 1


def write() -> None:
    sys.stdout.write("a line\n")


def write_and_exit() -> None:
    write()
    sys.exit(3)


def print_by_rich() -> None:
    Console().print("a line")


@pytest.mark.parametrize("buffering", [AT_THE_END, LINE_BY_LINE])
@pytest.mark.parametrize("command", [write, write_and_exit, print_by_rich])
def test_a_command_whose_output_is_closed_has_a_code_of_its_own(command: Callable[[], None], buffering: int) -> None:
    with unread_output(buffering), pytest.raises(SystemExit) as ended, exit_if_unread():
        command()
    assert ended.value.code == UNREAD


def test_a_command_that_prints_nothing_needs_no_reader() -> None:
    with unread_output():
        with exit_if_unread():
            pass
        with pytest.raises(SystemExit) as ended, exit_if_unread():
            sys.exit(3)
    assert ended.value.code == 3


def test_a_broken_pipe_of_another_program_is_an_error() -> None:
    reader, writer = os.pipe()
    output = os.fdopen(writer, "w")
    with os.fdopen(reader), output, redirect_stdout(output), pytest.raises(BrokenPipeError), exit_if_unread():
        raise BrokenPipeError
