"""The operator's commands: migrate, create-key, create-bucket, control, sweep, retention and audit."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Final
from uuid import UUID

from pydantic import ValidationError

from dubline.orchestration import commands, logs
from dubline.orchestration.domain.batches import RETENTION_MAX_S, RETENTION_MIN_S
from dubline.orchestration.domain.errors import DublineError
from dubline.orchestration.settings import LogSettings, complaints

if TYPE_CHECKING:
    from collections.abc import Sequence

KEEP: Final = "keep"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Returns:
        What the command says, 0 for success; 1 after a failure told in one sentence; 2 after settings that are
        missing or wrong.
    """
    parsed = _parser().parse_args(arguments)
    try:
        logs.configure(LogSettings.read())
        return int(parsed.run(parsed))
    except ValidationError as error:
        sys.stderr.writelines(f"dubline: {complaint}\n" for complaint in complaints(error))
        return 2
    except DublineError as error:
        sys.stderr.write(f"dubline: {error.detail}\n")
        if error.__cause__ is not None:
            reason = str(error.__cause__).strip().splitlines() or [type(error.__cause__).__name__]
            sys.stderr.write(f"dubline: reason: {reason[0]}\n")
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m dubline.orchestration",
        description="Operate a Dubline installation; settings come from DUBLINE_*.",
    )
    add = parser.add_subparsers(dest="command", required=True).add_parser
    migrate = add("migrate", help="create or change the tables")
    migrate.set_defaults(run=commands.migrate)
    key = add("create-key", help="make an API key and print it once")
    key.add_argument("tenant", help="whose key it is: lower-case letters, digits, - and _")
    key.set_defaults(run=commands.create_key)
    bucket = add("create-bucket", help="create the bucket where it is missing")
    bucket.set_defaults(run=commands.create_bucket)
    control = add("control", help="wake workers, rescue lost work and clear up until stopped")
    control.set_defaults(run=commands.serve)
    sweep = add("sweep", help="remove every object of the bucket that no row needs")
    sweep.add_argument("--dry-run", action="store_true", help="only count; exit with 1 if there are orphans")
    sweep.add_argument("--even-most", action="store_true", help="remove orphans even where most objects are")
    sweep.set_defaults(run=commands.sweep)
    retention = add("retention", help="set how long the files of a tenant are kept, those that exist included")
    retention.add_argument("tenant", help="whose files")
    for option, what in (("--inputs-s", "uploads"), ("--results-s", "videos")):
        retention.add_argument(
            option, type=_seconds, required=True, metavar="N", help=f"seconds that {what} are kept, or {KEEP!r}"
        )
    retention.set_defaults(run=commands.retention)
    audit = add("audit", help="show what is written down about a deletion; exit with 1 if nothing is")
    audit.add_argument("tenant", help="whose it was")
    audit.add_argument("id", type=UUID, help="id of the upload, job or batch")
    audit.set_defaults(run=commands.audit)
    return parser


def _seconds(text: str) -> int | None:
    if text == KEEP:
        return None
    seconds = int(text) if text.isascii() and text.isdecimal() else 0
    if not RETENTION_MIN_S <= seconds <= RETENTION_MAX_S:
        raise argparse.ArgumentTypeError(f"{text!r} is neither {KEEP!r} nor {RETENTION_MIN_S} to {RETENTION_MAX_S}")
    return seconds


if __name__ == "__main__":
    sys.exit(main())
