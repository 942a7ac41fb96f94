"""The command that prints the usage of all tenants, or writes a trace of their jobs."""

from __future__ import annotations

import csv
import sys
from dataclasses import asdict, fields
from typing import TYPE_CHECKING

from dubline.orchestration.database.store import Store
from dubline.orchestration.domain.usage import Usage
from dubline.orchestration.scaling.simulation import trace_file
from dubline.orchestration.settings import DatabaseSettings

if TYPE_CHECKING:
    from argparse import Namespace


def usage(arguments: Namespace) -> int:
    """Print the usage of every tenant by day and preset as CSV, or write a trace file."""
    with Store.connect(DatabaseSettings.read()) as store:
        if arguments.trace is not None:
            return _write_trace(store, arguments)
        rows = store.usage.of_all(arguments.first, arguments.last)
    writer = csv.DictWriter(sys.stdout, [field.name for field in fields(Usage)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(map(asdict, rows))
    return 0


def _write_trace(store: Store, arguments: Namespace) -> int:
    try:
        number = trace_file.write(arguments.trace, store.usage.trace(arguments.first, arguments.last))
    except trace_file.TraceFileError as error:
        sys.stderr.write(f"dubline: {error}\n")
        return 1
    sys.stderr.write(f"{number} jobs written to {arguments.trace}\n")
    return 0
