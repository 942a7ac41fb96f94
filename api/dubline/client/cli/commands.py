"""The `dubline` command line: submit, batch, faces, download, status, cancel, delete, verify, keys, usage, up."""

from __future__ import annotations

import shlex
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from dubline.client.calls.consent import read_consent
from dubline.client.calls.options import Controls, Output, RequestedOptions
from dubline.client.calls.responses import Batch, Job
from dubline.client.cli import administration, faces, report, stack, values, verification
from dubline.client.cli.command_group import CommandGroup
from dubline.client.cli.connection import connect, server_ends_with_command
from dubline.client.cli.display import OutputConsole, progress_display
from dubline.client.client import Client
from dubline.client.errors import ClientError, RefusedError, UnreachableError
from dubline.client.exit_codes import FAILED, INTERRUPTED
from dubline.client.runs.batch import BatchRun
from dubline.client.runs.download import download as fetch_videos
from dubline.client.runs.local_files import check_target, create_folder, find_file
from dubline.client.runs.manifest import read_rows
from dubline.client.runs.submit import SubmitOptions, SubmitRun
from dubline.options.render import BY_NAME

#: Codes of an id that names nothing: unknown, or not in the form of an id.
_NO_SUCH_ID: Final = frozenset({"not_found", "invalid_request"})
#: Words that would name another path of the API.
_FOLDERS: Final = frozenset({".", ".."})

Folder = Annotated[Path, typer.Option(help="Folder for the videos.")]
Force = Annotated[bool, typer.Option("--force", help="Replace existing files that have other content.")]
Identifier = Annotated[str, typer.Argument(metavar="ID", help="Id of a job or a batch.")]


def _option(name: str) -> Any:
    """Return the command line's form of one option of a render."""
    one = BY_NAME[name]

    def check(value: Any) -> Any:
        # The range of typer accepts NaN and odd numbers.
        if value is not None and not one.accepts(value):
            raise typer.BadParameter(f"{value} is not accepted. Use {one.range}.")
        return value

    choices = "|".join(sorted(one.choices)) if one.choices else None
    return typer.Option(
        min=one.least, max=one.most, metavar=choices, callback=check, show_default=False, help=one.description
    )


Preset = Annotated[str | None, _option("preset")]
Seed = Annotated[int | None, _option("seed")]
FaceIndex = Annotated[int | None, _option("face_index")]
FaceAt = Annotated[
    Any,
    typer.Option(
        "--face", metavar="X,Y", parser=values.point, show_default=False, help="Instead of --face-index: a point."
    ),
]
Expression = Annotated[float | None, _option("controls.expression")]
HeadMotion = Annotated[float | None, _option("controls.head_motion")]
Blink = Annotated[float | None, _option("controls.blink")]
ShutInSilence = Annotated[float | None, _option("controls.shut_in_silence")]
HeightPx = Annotated[int | None, _option("output.height_px")]

app = typer.Typer(
    cls=CommandGroup,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _show_version(*, asked: bool) -> None:
    if asked:
        typer.echo(f"dubline {version('dubline')}")
        raise typer.Exit


@app.callback()
def dubline(
    *,
    shown: Annotated[
        bool,
        typer.Option(
            "--version", callback=lambda asked: _show_version(asked=asked), is_eager=True, help="Show the version."
        ),
    ] = False,
) -> None:
    """Turn portraits and speech tracks into videos of these persons speaking, one by one or in batches."""
    del shown


@app.command()
def submit(  # noqa: PLR0913, PLR0917 - each is an option
    portrait: Annotated[Path, typer.Option(help="Photograph of one face: JPEG, PNG, WebP or AVIF.")],
    speech: Annotated[Path, typer.Option(help="Speech track: WAV, MP3, FLAC, Ogg, M4A, WebM or AAC.")],
    out: Annotated[
        Any,
        typer.Option(
            metavar="FILE", parser=values.target, show_default=False, help="The video; default: named after both files."
        ),
    ] = None,
    preset: Preset = None,
    seed: Seed = None,
    face_index: FaceIndex = None,
    face: FaceAt = None,
    expression: Expression = None,
    head_motion: HeadMotion = None,
    blink: Blink = None,
    shut_in_silence: ShutInSilence = None,
    height_px: HeightPx = None,
    consent_file: Annotated[
        Path | None, typer.Option(help='JSON with "statement", "subject" and "obtained_at" of the person\'s consent.')
    ] = None,
) -> None:
    """Render one video."""
    portrait, speech = find_file(portrait), find_file(speech)
    for file in (portrait, speech):
        if not file.stat().st_size:
            raise ClientError(f"The file {file} is empty. Nothing was sent.")
    if face is not None and face_index is not None:
        raise ClientError("Both --face and --face-index are given. Use one of them.")
    consent = read_consent(consent_file) if consent_file else None
    target = out or Path(f"{portrait.stem}-{speech.stem}.mp4")
    create_folder(target.parent)
    check_target(target)
    # A default name must not overwrite a file; a name given with --out may.
    if target.exists() and not out:
        raise ClientError(f"The file {target} already exists. Set another name with --out, or move the file.")
    controls = Controls(expression=expression, head_motion=head_motion, blink=blink, shut_in_silence=shut_in_silence)
    output = Output(height_px=height_px)
    requested = RequestedOptions(
        preset=preset, seed=seed, face_index=face_index, face=face, controls=controls, output=output
    )
    options = SubmitOptions(portrait=portrait, speech=speech, out=target, requested=requested, consent=consent)
    with connect() as client, progress_display(OutputConsole(), 1) as display:
        submission = SubmitRun(client, options, display, kept=not server_ends_with_command())
        try:
            outcome = submission.run()
        except KeyboardInterrupt:
            raise _interrupted(submission.job_id) from None
        except ClientError as error:
            raise _named(error, submission.job_id) from error
    if submission.job_id:
        typer.echo(f"job {submission.job_id}")
    if outcome.fault:
        _error(str(outcome.fault))
        raise typer.Exit(FAILED)


@app.command()
def batch(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help='JSON Lines or CSV with "custom_id", "portrait" and "speech".')
    ],
    out: Folder = Path("out"),
    *,
    force: Force = False,
) -> None:
    """Render a video for each row of a file; run it again after an interruption, or when rows have changed."""
    rows = read_rows(file)
    create_folder(out)
    started_s = time.monotonic()
    with connect() as client, progress_display(OutputConsole(), len(rows)) as display:
        submission = BatchRun(client, rows, out, display, replace=force, kept=not server_ends_with_command())
        try:
            outcomes = submission.run()
        except KeyboardInterrupt:
            raise _interrupted(submission.batch_id) from None
        except ClientError as error:
            raise _named(error, submission.batch_id) from error
    for line in report.of_outcomes(outcomes, out, time.monotonic() - started_s):
        typer.echo(line)
    if submission.batch_id:
        typer.echo(f"batch {submission.batch_id}")
    if not submission.is_complete and not server_ends_with_command():
        _error(f"The server still has the videos that could not be stored. To fetch them:\n{_this_command()}")
    if any(outcome.fault for outcome in outcomes):
        raise typer.Exit(FAILED)


@app.command()
def download(identifier: Identifier, out: Folder = Path("out"), *, force: Force = False) -> None:
    """Download the finished videos of a batch or a job; those that are in the folder already are skipped."""
    started_s = time.monotonic()
    with connect() as client:
        try:
            found = _find(client, identifier)
            create_folder(out)
            jobs = [found] if isinstance(found, Job) else list(client.batches.jobs(identifier))
            with progress_display(OutputConsole(), len(jobs)) as display:
                outcomes = fetch_videos(client, jobs, out, display, replace=force)
        except KeyboardInterrupt:
            raise _interrupted("") from None
    for line in report.of_outcomes(outcomes, out, time.monotonic() - started_s):
        typer.echo(line)
    for line in report.of_unfetched(jobs):
        typer.echo(line)
    if any(outcome.fault for outcome in outcomes):
        raise typer.Exit(FAILED)


@app.command()
def status(identifier: Identifier) -> None:
    """Show the state of a job or a batch."""
    with connect() as client:
        found = _find(client, identifier)
        if isinstance(found, Job):
            lines = list(report.of_job(found))
        else:
            lines = list(report.of_batch(found, list(client.batches.jobs(identifier, "failed"))))
    for line in lines:
        typer.echo(line)


@app.command()
def cancel(identifier: Identifier) -> None:
    """Cancel a job, or every job of a batch; final jobs keep their state."""
    with connect() as client:
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
        bool, typer.Option("--inputs", help="Also delete the batch's uploads, unless other jobs use them.")
    ] = False,
) -> None:
    """Delete a job or a batch with its videos from the server."""
    with connect() as client:
        if not isinstance(_find(client, identifier), Job):
            line = report.of_deletion("batch", identifier, client.batches.delete(identifier, inputs=inputs))
        elif inputs:
            raise ClientError(f"{identifier} is a job; --inputs is for batches only. Delete the job without it.")
        else:
            line = report.of_deletion("job", identifier, client.jobs.delete(identifier))
    typer.echo(line)


#: Of commands that pass their options on.
_PASSED_ON: Final = {"ignore_unknown_options": True, "allow_interspersed_args": False}

# The help lists commands in the order of these lines.
app.command(context_settings=_PASSED_ON)(stack.up)
app.command()(faces.faces)
app.command()(verification.verify)
app.command()(administration.usage)
app.add_typer(administration.keys, name="keys")
app.command(context_settings=_PASSED_ON)(administration.tenants)


def _find(client: Client, identifier: str) -> Job | Batch:
    if not identifier.strip():
        raise ClientError("The id is empty. `dubline submit` and `dubline batch` print it.")
    if "/" in identifier or identifier in _FOLDERS:
        raise _no_such_id(identifier)
    try:
        return client.jobs.get(identifier)
    except RefusedError as error:
        if error.code not in _NO_SUCH_ID:
            raise
    try:
        return client.batches.get(identifier)
    except RefusedError as error:
        if error.code not in _NO_SUCH_ID:
            raise
        raise _no_such_id(identifier) from error


def _no_such_id(identifier: str) -> ClientError:
    return ClientError(f"There is no job or batch {identifier}. Check the id and the API key that it was created with.")


def _interrupted(identifier: str) -> typer.Exit:
    """Print the commands for the job or batch that is left on the server, if any, and the one that goes on."""
    if server_ends_with_command():
        _error("Interrupted; the server stops and its data is removed.")
        return typer.Exit(INTERRUPTED)
    if identifier:
        _error("Interrupted; the server continues. To see the state or to cancel:")
        _error(f"dubline status {identifier}\ndubline cancel {identifier}")
    else:
        _error("Interrupted.")
    _error(f"To continue:\n{_this_command()}")
    return typer.Exit(INTERRUPTED)


def _named(error: ClientError, identifier: str) -> ClientError:
    """Return an error with the id of the job or batch that is left on the server, if any."""
    if server_ends_with_command():
        return error
    if identifier:
        left = f"\nThe server continues. To see the state: dubline status {identifier}"
        return ClientError(f"{error}{left}\nTo continue: {_this_command()}")
    return ClientError(f"{error}\nTo continue: {_this_command()}") if isinstance(error, UnreachableError) else error


def _this_command() -> str:
    return shlex.join(["dubline", *sys.argv[1:]])


def _error(text: str) -> None:
    typer.echo(text, err=True)
