"""The command `dubline verify`."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - typer evaluates annotations
from typing import Annotated, Final

import typer

from dubline.client.calls.hashes import file_sha256
from dubline.client.cli.connection import connect
from dubline.client.errors import ClientError
from dubline.client.runs.local_files import find_file
from dubline.client.runs.manifest_state import manifest_state
from dubline.client.runs.video_mark import job_named_in

#: Verdict -> what it means.
MEANINGS: Final = {
    "unaltered": "the bytes are those of a video of your tenant",
    "altered": "it names a job of your tenant, but its bytes are not those of the video",
    "unknown": "your tenant has no such video; another tenant may",
}


def verify(file: Annotated[Path, typer.Argument(metavar="FILE", help="A video.")]) -> None:
    """Tell whether a file is a video of your tenant and unaltered; the exit code is 0 only then."""
    file = find_file(file)
    try:
        sha256, named = file_sha256(file), job_named_in(file)
    except OSError as error:
        raise ClientError(f"Cannot read {file}: {error.strerror}.") from error
    with connect() as client:
        found = client.verifications.verify(sha256, named)
    typer.echo(f"{found.verdict}: {MEANINGS.get(found.verdict, 'a verdict of a later version of the server')}")
    if found.job is not None:
        name = f" custom_id={found.job.custom_id}" if found.job.custom_id else ""
        typer.echo(f"job {found.job.id}{name} accepted={found.job.created_at} finished={found.job.finalized_at}")
    elif named is not None:
        typer.echo(f"The file names the job {named}.")
    typer.echo(f"C2PA manifest: {manifest_state(file)}")
    raise typer.Exit(0 if found.verdict == "unaltered" else 1)
