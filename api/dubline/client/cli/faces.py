"""The command `dubline faces`: needs no server, but the packages of a worker."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path  # noqa: TC003 - typer evaluates annotations
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from dubline.client.errors import ClientError
from dubline.client.runs.local_files import find_file

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

#: A program of its own, because the client imports no decoder. It examines the picture in the sandbox.
PROGRAM: Final = "dubline.worker.media.photo"
REFUSED: Final = 1


def faces(photo: Annotated[Path, typer.Argument(metavar="PHOTO", help="A picture.")]) -> None:
    """List the faces of a picture with the numbers for `--face-index`; the exit code is 1 if none can be animated."""
    photo = find_file(photo)
    # -P: modules of the folder in which the user is must not hide installed ones.
    command = [sys.executable, "-P", "-m", PROGRAM, str(photo)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise ClientError(f"The faces cannot be listed: {reason}. This command needs dubline[worker].")
    found = json.loads(done.stdout)
    if error := found.get("error"):
        typer.echo(f"{photo}: {error['code']}: {error['detail']}")
        raise typer.Exit(REFUSED)
    for line in described(photo, found):
        typer.echo(line)


def described(photo: Path, found: Mapping[str, Any]) -> Iterator[str]:
    """Describe the faces of a picture, a line for each and for each remark."""
    listed = found["faces"]
    count = "1 face" if len(listed) == 1 else f"{len(listed)} faces"
    yield f"{photo}: {found['width_px']} x {found['height_px']} px, {count}"
    for number, face in enumerate(listed):
        left, top, right, bottom = face["box"]
        yield f"  face {number}: left {left}, top {top}, right {right}, bottom {bottom}"
        error = face["error"]
        for remark in (*face["warnings"], *([error] if error else [])):
            yield f"    {remark['code']}: {remark['detail']}"
