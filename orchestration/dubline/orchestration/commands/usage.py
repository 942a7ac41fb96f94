"""The command that prints the usage of all tenants."""

from __future__ import annotations

import csv
import sys
from dataclasses import asdict, fields
from typing import TYPE_CHECKING

from dubline.orchestration.database.store import Store
from dubline.orchestration.domain.usage import Usage
from dubline.orchestration.settings import DatabaseSettings

if TYPE_CHECKING:
    from argparse import Namespace


def usage(arguments: Namespace) -> int:
    """Print the usage of every tenant by day and preset as CSV."""
    with Store.connect(DatabaseSettings.read()) as store:
        rows = store.usage.of_all(arguments.first, arguments.last)
    writer = csv.DictWriter(sys.stdout, [field.name for field in fields(Usage)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(map(asdict, rows))
    return 0
