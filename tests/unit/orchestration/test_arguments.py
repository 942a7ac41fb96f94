"""Wrong arguments of the operator's commands are named in words, not by the names of functions and types."""

from __future__ import annotations

import argparse
import re
from typing import TYPE_CHECKING

import pytest

from dubline.orchestration import __main__
from dubline.orchestration.scaling import simulate

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Types that argparse names in words, and those that accept many texts.
PLAIN = {None, int, float, simulate.Path, simulate._picture}


def arguments(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for one in set(action.choices.values()):
                yield from arguments(one)
        else:
            yield action


@pytest.mark.parametrize("parser", [__main__._parser(), simulate._parser()], ids=["orchestration", "simulate"])
def test_a_wrong_argument_is_named_in_words(parser: argparse.ArgumentParser) -> None:
    for action in arguments(parser):
        assert all(type(choice) is str for choice in action.choices or ())
        if action.type in PLAIN:
            continue
        assert callable(action.type)
        for wrong in ("x", "-1", "", "nan"):
            with pytest.raises(argparse.ArgumentTypeError) as refused:
                action.type(wrong)
            assert re.search("(^| )(is|nor) ", str(refused.value))
            assert wrong in str(refused.value)
