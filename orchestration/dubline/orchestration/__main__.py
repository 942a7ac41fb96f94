"""The operator's commands: tables, bucket, keys, tenants, weights, maintenance, scale, repair, audit and usage."""

from __future__ import annotations

import sys

from dubline.orchestration import process

if __name__ == "__main__":
    # Before the other imports, which take a second.
    process.end_on_sigterm()

import argparse
from datetime import date
from functools import partial
from pathlib import Path
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Final
from uuid import UUID

import structlog
from pydantic import ValidationError

from dubline.options.output import exit_if_unread
from dubline.orchestration import logs
from dubline.orchestration.domain.batches import RETENTION_MAX_S, RETENTION_MIN_S
from dubline.orchestration.domain.errors import DublineError
from dubline.orchestration.domain.keys import LIFE_MAX_S, OVERLAP_S, Scope
from dubline.orchestration.settings import LogSettings, validation_messages

if TYPE_CHECKING:
    from collections.abc import Sequence

KEEP: Final = "keep"
DEFAULT: Final = "default"
#: Limits are less than this: floats have all integers below.
LIMIT_BELOW: Final = 2**53
#: Old command -> new one. Each is accepted for one release.
RENAMED: Final = {"control": "maintenance", "create-key": "keys create"}

_log = structlog.get_logger(__name__)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Returns:
        The exit code: the command's own, 0 for success; 1 after an error, which is printed in one sentence; 2 if a
        setting is missing or not valid.
    """
    process.hide_memory()
    parsed = _parser().parse_args(arguments)
    try:
        logs.configure(LogSettings.read())
        if parsed.command in RENAMED:
            _log.warning("command_renamed", old=parsed.command, new=RENAMED[parsed.command])
        with exit_if_unread():
            return _execute(parsed)
    except ValidationError as error:
        sys.stderr.writelines(f"dubline: {message}\n" for message in validation_messages(error))
        return 2
    except DublineError as error:
        sys.stderr.write(f"dubline: {error.detail}\n")
        if error.__cause__ is not None:
            reason = str(error.__cause__).strip().splitlines() or [type(error.__cause__).__name__]
            sys.stderr.write(f"dubline: reason: {reason[0]}\n")
        return 1


def _execute(parsed: argparse.Namespace) -> int:
    """Import the function behind a parsed command and call it."""
    return int(resolve_name(f"dubline.orchestration.commands.{parsed.function}")(parsed))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m dubline.orchestration",
        description="Operate a Dubline installation; settings come from DUBLINE_*.",
    )
    add = parser.add_subparsers(dest="command", required=True).add_parser
    migrate = add("migrate", help="create or migrate the tables")
    migrate.add_argument("--wait-s", type=float, default=0.0, help="seconds to wait for the database")
    migrate.set_defaults(function="database:migrate")
    prepare = add("prepare", help="migrate, create the bucket and create a key of a tenant, in one process")
    _add_create_key(prepare)
    prepare.set_defaults(function="prepare:prepare", wait_s=0.0)
    _add_create_key(add("create-key", help="old name of `keys create`"))
    _add_keys(add("keys", help="create, list, revoke or rotate API keys"))
    bucket = add("create-bucket", help="create the bucket if it does not exist")
    bucket.set_defaults(function="bucket:create_bucket")
    maintenance = add("maintenance", aliases=["control"], help="run the periodic tasks until stopped")
    maintenance.set_defaults(function="maintenance:maintain")
    scale = add("scale", help="scale the pools of workers on Kubernetes until stopped")
    scale.add_argument("--dry-run", action="store_true", help="only observe, decide and log")
    scale.set_defaults(function="scale:scale")
    sweep = add("sweep", help="remove every object of the bucket that has no row")
    sweep.add_argument("--dry-run", action="store_true", help="only count; exit with 1 if there are orphans")
    sweep.add_argument("--even-most", action="store_true", help="remove orphans however many there are")
    sweep.set_defaults(function="maintenance:sweep")
    restored = add("restored", help="repair a restored copy of the database; list the rows whose object is missing")
    restored.set_defaults(function="maintenance:restored")
    retention = add("retention", help="set the retention of a tenant's files, existing ones included")
    retention.add_argument("tenant", help="tenant of the files")
    for option, what in (("--inputs-s", "uploads"), ("--results-s", "videos")):
        retention.add_argument(
            option, type=_seconds, required=True, metavar="N", help=f"seconds that {what} are kept, or {KEEP!r}"
        )
    retention.set_defaults(function="database:retention")
    _add_tenants(add("tenants", help="set or show the limits of a tenant"))
    _add_weights(add("weights", help="push, list or pin versions of weights"))
    audit = add("audit", help="print the audit entries of a deletion; exit with 1 if there are none")
    audit.add_argument("tenant", help="tenant of the object")
    audit.add_argument("id", type=_id, help="id of the upload, job or batch")
    audit.set_defaults(function="audit:show")
    export = add("audit-export", help="print the audit log as JSON Lines")
    export.add_argument("tenant", nargs="?", help="tenant of the entries; default: the whole installation")
    export.set_defaults(function="audit:export")
    usage = add("usage", help="print the usage of all tenants by day and preset as CSV")
    usage.add_argument("first", type=_day, help="first day in UTC, such as 2026-01-31")
    usage.add_argument("last", type=_day, help="last day; included")
    usage.add_argument(
        "--trace", type=Path, metavar="FILE", help="write the jobs that arrived in the period, for scaling.simulate"
    )
    usage.set_defaults(function="usage:usage")
    return parser


def _add_keys(parser: argparse.ArgumentParser) -> None:
    add = parser.add_subparsers(dest="action", required=True).add_parser
    _add_create_key(add("create", help="create a key, and the tenant if it is new; print the key once"))
    listed = add("list", help="print the keys of a tenant")
    listed.set_defaults(function="keys:list_keys")
    revoke = add("revoke", help="revoke a key at once")
    revoke.set_defaults(function="keys:revoke")
    rotate = add("rotate", help="create a key with the scopes of another one, which then expires")
    rotate.add_argument("--overlap-s", type=_life, default=OVERLAP_S, metavar="N", help="seconds with both keys valid")
    rotate.set_defaults(function="keys:rotate")
    for one in (listed, revoke, rotate):
        one.add_argument("tenant", help="tenant of the key")
    for one in (revoke, rotate):
        one.add_argument("id", help="id of the key, 12 hexadecimal digits")


def _add_create_key(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("tenant", help="tenant of the key: lower-case letters, digits, - and _")
    parser.add_argument(
        "--scope",
        action="append",
        choices=sorted(map(str, Scope)),
        help="may be repeated; default: submit, read and delete",
    )
    parser.add_argument("--expires-s", type=_life, metavar="N", help="seconds until it expires; default: never")
    parser.set_defaults(function="keys:create")


def _add_tenants(parser: argparse.ArgumentParser) -> None:
    add = parser.add_subparsers(dest="action", required=True).add_parser
    chosen = add("set", help="set limits; those that are not given are not changed")
    chosen.set_defaults(function="tenants:set_limits")
    for option, what, number in (
        ("--requests-per-s", "requests in a second", float),
        ("--queued-jobs", "jobs that are not final", int),
        ("--queued-s", "their seconds of speech", float),
        ("--running-jobs", "jobs that are rendered at once", int),
        ("--stored-bytes", "bytes of uploads and videos", int),
        ("--upload-bytes", "bytes of one file", int),
    ):
        chosen.add_argument(option, type=partial(_limit, number), metavar="N", help=f"{what}, or {DEFAULT!r}")
    show = add("show", help="print the limits and what is held")
    show.set_defaults(function="tenants:show")
    for one in (chosen, show):
        one.add_argument("tenant", help="name of the tenant")


def _add_weights(parser: argparse.ArgumentParser) -> None:
    add = parser.add_subparsers(dest="action", required=True).add_parser
    push = add("push", help="check a version and store it in the bucket; print its preset and hash")
    push.add_argument("folder", type=Path, help="folder with manifest.json and the safetensors files")
    push.add_argument("--pin", action="store_true", help="pin new jobs of its preset to it")
    push.set_defaults(function="weights:push")
    listed = add("list", help="print the versions in the bucket")
    listed.set_defaults(function="weights:list_weights")
    pin = add("pin", help="pin new jobs of a preset to a version; accepted jobs keep theirs")
    pin.add_argument("preset", help="preset of the jobs")
    pin.add_argument("sha256", help="the version, or 'package': that in the worker's package")
    pin.set_defaults(function="weights:pin")


def _limit(number: type[float], text: str) -> float | str:
    if text == DEFAULT:
        return text
    try:
        value = number(text)
    except ValueError:
        value = number(-1)
    if not 0 < value < LIMIT_BELOW:
        raise argparse.ArgumentTypeError(f"{text!r} is neither {DEFAULT!r} nor a number above 0 and below 2^53")
    return value


def _id(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not an id of 32 hexadecimal digits") from None


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a day; use one such as 2026-01-31") from None


def _life(text: str) -> int:
    seconds = int(text) if text.isascii() and text.isdecimal() else -1
    if not 0 <= seconds <= LIFE_MAX_S:
        raise argparse.ArgumentTypeError(f"{text!r} is not 0 to {LIFE_MAX_S} seconds")
    return seconds


def _seconds(text: str) -> int | None:
    if text == KEEP:
        return None
    seconds = int(text) if text.isascii() and text.isdecimal() else 0
    if not RETENTION_MIN_S <= seconds <= RETENTION_MAX_S:
        raise argparse.ArgumentTypeError(f"{text!r} is neither {KEEP!r} nor {RETENTION_MIN_S} to {RETENTION_MAX_S}")
    return seconds


if __name__ == "__main__":
    sys.exit(main())
