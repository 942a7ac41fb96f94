"""The commands `dubline keys`, `dubline usage` and `dubline tenants`."""

from __future__ import annotations

import csv
import re
import subprocess
import sys
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from dubline.client.calls.administration import Usage
from dubline.client.cli.connection import connect
from dubline.client.cli.values import day
from dubline.client.errors import ClientError

if TYPE_CHECKING:
    from dubline.client.calls.administration import Key

#: Seconds for which both keys of a rotation are valid.
OVERLAP_S: Final = 86_400
_ID: Final = re.compile(r"[0-9a-f]{12}")

KeyId = Annotated[str, typer.Argument(metavar="ID", help="Id of the key, from `dubline keys list`.")]
First = Annotated[
    Any,
    typer.Option(
        parser=day,
        metavar="YYYY-MM-DD",
        show_default=False,
        help="First day in UTC; default: 31 days with the last, all with --trace.",
    ),
]
Last = Annotated[
    Any,
    typer.Option(parser=day, metavar="YYYY-MM-DD", show_default=False, help="Last day in UTC; default: today."),
]
TraceFile = Annotated[
    Path | None, typer.Option(help="Write arrival, device seconds and preset of each job, for the simulator.")
]

keys = typer.Typer(
    no_args_is_help=True, help="Create, list, rotate and revoke API keys; needs a key with the scope admin."
)


@keys.command()
def create(
    scope: Annotated[
        list[str] | None, typer.Option(help="submit, read, delete or admin; may be repeated; default: all but admin.")
    ] = None,
    expires_s: Annotated[int | None, typer.Option(min=1, help="Seconds until it expires; default: never.")] = None,
) -> None:
    """Create a key and print it; it cannot be shown again."""
    with connect() as client:
        _show(client.administration.create_key(scope or (), expires_s))


@keys.command("list")
def list_keys() -> None:
    """List the keys."""
    with connect() as client:
        for key in client.administration.list_keys():
            times = f"created={key.created_at} expires={key.expires_at or 'never'}"
            typer.echo(f"{key.id} scopes={','.join(key.scopes)} {times} last_used={key.last_used_at or 'never'}")


@keys.command()
def revoke(key_id: KeyId) -> None:
    """Revoke a key; servers accept it for at most 10 seconds more."""
    _check_id(key_id)
    with connect() as client:
        client.administration.revoke_key(key_id)


@keys.command()
def rotate(
    key_id: KeyId,
    overlap_s: Annotated[int, typer.Option(min=0, help="Seconds for which both keys are valid.")] = OVERLAP_S,
) -> None:
    """Replace a key by a new one with the same scopes, and print it."""
    _check_id(key_id)
    with connect() as client:
        _show(client.administration.rotate_key(key_id, overlap_s))


def usage(
    first: First = None,
    last: Last = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print comma-separated values.")] = False,
    trace: TraceFile = None,
) -> None:
    """Show jobs, seconds of video, device seconds and bytes by day and preset."""
    if trace is not None and as_csv:
        raise ClientError("Both --csv and --trace are given. Use one of them; a trace is CSV, too.")
    if trace is not None:
        _write_trace(trace, first, last)
        return
    days = [one.isoformat() if one else None for one in (first, last)]
    with connect() as client:
        rows = client.administration.usage(*days)
    if as_csv:
        writer = csv.DictWriter(sys.stdout, list(Usage.model_fields), lineterminator="\n")
        writer.writeheader()
        writer.writerows(row.model_dump() for row in rows)
        return
    if not rows:
        typer.echo("No job became final in these days.", err=True)
    for row in rows:
        shown = {name: round(value, 3) if isinstance(value, float) else value for name, value in row if name != "day"}
        typer.echo(" ".join([row.day, *(f"{name}={value}" for name, value in shown.items())]))


def tenants(arguments: Annotated[list[str], typer.Argument(metavar="set|show TENANT [OPTIONS]")]) -> None:
    """Set or show the limits of a tenant; for the operator, on a machine with the server's DUBLINE_DATABASE_URL."""
    # -P: modules of the folder in which the user is must not hide installed ones.
    command = [sys.executable, "-P", "-m", "dubline.orchestration", "tenants", *arguments]
    raise typer.Exit(subprocess.run(command, check=False).returncode)


def _write_trace(path: Path, first: date | None, last: date | None) -> None:
    """Write the final jobs that took device time. The days are those of their acceptance, in UTC."""
    after = _start(first).isoformat() if first else None
    # The last day of the calendar has no next one.
    before = _start(last + timedelta(days=1)).isoformat() if last and last < date.max else None
    with connect() as client:
        # All of them first: an error of the server leaves no file, and an existing one as it was.
        jobs = [job for job in client.administration.ended_jobs(after, before) if job.gpu_s]
    try:
        with path.open("w", newline="", encoding="utf-8") as file:
            rows = csv.writer(file, lineterminator="\n")
            rows.writerow(("arrival", "device_s", "preset"))
            rows.writerows((job.created_at, job.gpu_s, job.preset) for job in jobs)
    except OSError as error:
        raise ClientError(f"Cannot write {path}: {error.strerror}.") from error
    typer.echo(f"{len(jobs)} jobs written to {path}", err=True)


def _check_id(key_id: str) -> None:
    if not _ID.fullmatch(key_id):
        raise ClientError(f"{key_id!r} is not the id of a key, which `dubline keys list` shows. A key is not its id.")


def _start(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)


def _show(key: Key) -> None:
    typer.echo(key.secret)
    typer.echo(f"key {key.id}; it cannot be shown again", err=True)
