"""The `dubline` command line: submit, batch, status, cancel, delete, up."""

from __future__ import annotations

import math
import os
import time
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.console import Console

from dubline.client.calls.options import Controls, RequestedOptions
from dubline.client.calls.responses import Batch, Job
from dubline.client.cli import report
from dubline.client.cli.display import board
from dubline.client.client import DEFAULT_URL, Client
from dubline.client.errors import ClientError, RefusedError
from dubline.client.runs.bulk import Bulk
from dubline.client.runs.manifest import read_rows
from dubline.client.runs.single import Single, Wish
from dubline.options.render import BY_NAME

FAILED: Final = 1
INTERRUPTED: Final = 130

_NOT_FOUND: Final = 404

Identifier = Annotated[str, typer.Argument(metavar="ID", help="Of a job or a batch.")]


def _option(name: str) -> Any:
    """Return the command line's form of one option of a render."""
    one = BY_NAME[name]
    return typer.Option(min=one.least, max=one.most, callback=_number, show_default=False, help=one.description)


def _number(value: float | None) -> float | None:
    # The range lets it pass: it is neither less nor more than anything.
    if value is not None and math.isnan(value):
        raise typer.BadParameter("nan is no number.")
    return value


Preset = Annotated[str | None, typer.Option(help=BY_NAME["preset"].description)]
Seed = Annotated[int | None, _option("seed")]
Expression = Annotated[float | None, _option("controls.expression")]
HeadMotion = Annotated[float | None, _option("controls.head_motion")]
Blink = Annotated[float | None, _option("controls.blink")]
ShutInSilence = Annotated[float | None, _option("controls.shut_in_silence")]

app = typer.Typer(
    help="Bulk dubbing: one portrait and one speech track in, a video of that person speaking out.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


@app.command()
def submit(  # noqa: PLR0913, PLR0917 - each is an option
    portrait: Annotated[Path, typer.Option(help="A photograph of one face: JPEG, PNG or WebP.")],
    speech: Annotated[Path, typer.Option(help="What to say: WAV, MP3, FLAC, Ogg or M4A.")],
    out: Annotated[Path | None, typer.Option(help="The video; by default named after both files.")] = None,
    preset: Preset = None,
    seed: Seed = None,
    expression: Expression = None,
    head_motion: HeadMotion = None,
    blink: Blink = None,
    shut_in_silence: ShutInSilence = None,
) -> None:
    """Make one video."""
    for file in (portrait, speech):
        if not file.is_file():
            raise ClientError(f"There is no file {file}.")
    target = out or _unused(Path(f"{portrait.stem}-{speech.stem}.mp4"))
    controls = Controls(expression=expression, head_motion=head_motion, blink=blink, shut_in_silence=shut_in_silence)
    options = RequestedOptions(preset=preset, seed=seed, controls=controls)
    wish = Wish(portrait=portrait, speech=speech, out=target, options=options)
    with _client() as client, board(Console(), 1) as shown:
        single = Single(client, wish, shown)
        try:
            outcome = single.run()
        except KeyboardInterrupt:
            raise _interrupted(single.job_id) from None
    if outcome.fault:
        _error(str(outcome.fault))
        raise typer.Exit(FAILED)


@app.command()
def batch(
    file: Annotated[Path, typer.Argument(help='Lines of {"custom_id", "portrait", "speech"}.')],
    out: Annotated[Path, typer.Option(help="Folder for the videos.")] = Path("out"),
) -> None:
    """Make a video of each row of a file."""
    rows = read_rows(file)
    began = time.monotonic()
    with _client() as client, board(Console(), len(rows)) as shown:
        bulk = Bulk(client, rows, out, shown)
        try:
            outcomes = bulk.run()
        except KeyboardInterrupt:
            raise _interrupted(bulk.batch_id) from None
    for line in report.of_outcomes(outcomes, out, time.monotonic() - began):
        typer.echo(line)
    if any(outcome.fault for outcome in outcomes):
        raise typer.Exit(FAILED)


@app.command()
def status(identifier: Identifier) -> None:
    """Tell how a job or a batch is."""
    with _client() as client:
        found = _find(client, identifier)
        if isinstance(found, Job):
            lines = list(report.of_job(found))
        else:
            lines = list(report.of_batch(found, list(client.batches.jobs(identifier))))
    for line in lines:
        typer.echo(line)


@app.command()
def cancel(identifier: Identifier) -> None:
    """Stop a job, or every job of a batch; what is finished already stays."""
    with _client() as client:
        if isinstance(_find(client, identifier), Job):
            lines = list(report.of_job(client.jobs.cancel(identifier)))
        else:
            lines = list(report.of_batch(client.batches.cancel(identifier), ()))
    for line in lines:
        typer.echo(line)


@app.command()
def delete(
    identifier: Identifier,
    inputs: Annotated[
        bool, typer.Option("--inputs", help="A batch's uploads too, where nothing else uses them.")
    ] = False,
) -> None:
    """Remove a job or a batch, with its videos, from the server for good."""
    with _client() as client:
        if not isinstance(_find(client, identifier), Job):
            line = report.of_deletion("batch", identifier, client.batches.delete(identifier, inputs=inputs))
        elif inputs:
            raise ClientError(f"{identifier} is a job; --inputs goes with a batch. Delete the job without it.")
        else:
            line = report.of_deletion("job", identifier, client.jobs.delete(identifier))
    typer.echo(line)


@app.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
def up(
    command: Annotated[
        list[str] | None,
        typer.Argument(help="Run this against the stack, then stop; wait for Ctrl-C if none."),
    ] = None,
) -> None:
    """Start the whole service on this machine, with everything it needs, for as long as it is wanted."""
    # The only command that needs the servers; the others run where only the client is installed.
    from dubline.embedded import EmbeddedError, run  # noqa: PLC0415

    try:
        code = run(command or [], say=typer.echo)
    except EmbeddedError as error:
        raise ClientError(str(error)) from error
    raise typer.Exit(code)


def _find(client: Client, identifier: str) -> Job | Batch:
    try:
        return client.jobs.get(identifier)
    except RefusedError as error:
        if error.status != _NOT_FOUND:
            raise
        return client.batches.get(identifier)


def _unused(target: Path) -> Path:
    # The name is ours, not the user's, so he has not agreed to lose what is there.
    if target.exists():
        raise ClientError(f"There is a file {target} already. Name the video with --out, or move the old one away.")
    return target


def _client() -> Client:
    key = os.environ.get("DUBLINE_API_KEY", "")
    if not key:
        raise ClientError("Set DUBLINE_API_KEY to your API key; `dubline up` prints one for its own server.")
    return Client(os.environ.get("DUBLINE_URL") or DEFAULT_URL, key)


def _interrupted(identifier: str) -> typer.Exit:
    """Say how to go on with what the server has, if it has anything."""
    if identifier:
        _error("Interrupted; the server goes on. See how far it is, or stop it:")
        _error(f"dubline status {identifier}\ndubline cancel {identifier}")
    return typer.Exit(INTERRUPTED)


def _error(text: str) -> None:
    typer.echo(text, err=True)
