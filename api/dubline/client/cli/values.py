"""Values on the command line that are more than a word or a number: points, days and files to be written."""

from __future__ import annotations

import os
import re
from datetime import date
from pathlib import Path
from typing import Final

import typer

from dubline.client.calls.options import Point
from dubline.options.point import POINT_MOST_PX

_POINT: Final = re.compile(r"([0-9]{1,9}), ?([0-9]{1,9})")


def point(given: str) -> Point:
    """Read `X,Y`.

    Raises:
        BadParameter: it is no point.
    """
    found = _POINT.fullmatch(given)
    x, y = (int(digits) for digits in found.groups()) if found else (-1, -1)
    if not 0 <= max(x, y) <= POINT_MOST_PX:
        raise typer.BadParameter(f"{given} is not a point. Use whole pixels from the left and top edge: 640,360.")
    return Point(x=x, y=y)


def day(given: str) -> date:
    """Read `YYYY-MM-DD`.

    Raises:
        BadParameter: it is no day.
    """
    try:
        return date.fromisoformat(given)
    except ValueError:
        raise typer.BadParameter(f"{given} is not a day. Use one such as 2026-01-31.") from None


def target(given: str) -> Path:
    """Read the path of a file to be written.

    Raises:
        BadParameter: it is the path of a folder.
    """
    if not given or given.endswith(os.sep):
        raise typer.BadParameter(f"{given!r} is not the name of a file. Add one, such as {given}video.mp4.")
    return Path(given)
