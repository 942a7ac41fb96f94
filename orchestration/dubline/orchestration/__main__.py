"""The operator's commands: migrate, create-key, create-bucket and control."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from typing import TYPE_CHECKING

from pydantic import ValidationError

from dubline.orchestration import control, logs
from dubline.orchestration.errors import DublineError
from dubline.orchestration.objects import Objects
from dubline.orchestration.queue import Waker, create_app
from dubline.orchestration.settings import (
    BrokerSettings,
    BucketSettings,
    ControlSettings,
    DatabaseSettings,
    LogSettings,
    complaints,
)
from dubline.orchestration.store import Store
from dubline.orchestration.store.schema import migrate

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Returns:
        0; 1 after a failure told in one sentence; 2 after settings that are missing or wrong.
    """
    parsed = _parser().parse_args(arguments)
    try:
        logs.configure(LogSettings.read())
        if parsed.command == "migrate":
            migrate(DatabaseSettings.read())
        elif parsed.command == "create-key":
            _create_key(parsed.tenant)
        elif parsed.command == "create-bucket":
            Objects(BucketSettings.read()).create_bucket()
        else:
            _control()
    except ValidationError as error:
        sys.stderr.writelines(f"dubline: {complaint}\n" for complaint in complaints(error))
        return 2
    except DublineError as error:
        sys.stderr.write(f"dubline: {error.detail}\n")
        if error.__cause__ is not None:
            reason = str(error.__cause__).strip().splitlines() or [type(error.__cause__).__name__]
            sys.stderr.write(f"dubline: reason: {reason[0]}\n")
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m dubline.orchestration",
        description="Operate a Dubline installation; settings come from DUBLINE_*.",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("migrate", help="create or change the tables")
    key = commands.add_parser("create-key", help="make an API key and print it once")
    key.add_argument("tenant", help="whose key it is: lower-case letters, digits, - and _")
    commands.add_parser("create-bucket", help="create the bucket where it is missing")
    commands.add_parser("control", help="rescue lost work and wake workers until stopped")
    return parser


def _create_key(tenant: str) -> None:
    with Store.connect(DatabaseSettings.read()) as store:
        sys.stdout.write(store.keys.create(tenant) + "\n")


def _control() -> None:
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    waker = Waker(create_app(BrokerSettings.read().url.get_secret_value()))
    with Store.connect(DatabaseSettings.read()) as store:
        control.run(store, waker, ControlSettings.read().period_s, stop)
    waker.close()


if __name__ == "__main__":
    sys.exit(main())
