"""Commands that change tables and tenants: migrate, retention."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

import structlog

from dubline.orchestration.database.store import Store, schema
from dubline.orchestration.domain.batches import Retention
from dubline.orchestration.domain.errors import DatabaseUnavailableError
from dubline.orchestration.settings import DatabaseSettings

if TYPE_CHECKING:
    from argparse import Namespace


#: Seconds between two attempts to reach the database.
PAUSE_S: Final = 1.0

_log = structlog.get_logger(__name__)


def migrate(arguments: Namespace) -> int:
    """Migrate the tables to the newest schema; wait for the database as long as the arguments say."""
    settings, end_s, awaited = DatabaseSettings.read(), time.monotonic() + arguments.wait_s, False
    while True:
        try:
            schema.migrate(settings)
        except DatabaseUnavailableError as error:
            if time.monotonic() + PAUSE_S > end_s:
                raise
            if not awaited:
                _log.warning("database_awaited", wait_s=arguments.wait_s, reason=repr(error.__cause__))
                awaited = True
            time.sleep(PAUSE_S)
        else:
            return 0


def retention(arguments: Namespace) -> int:
    """Set the retention of a tenant's files."""
    kept = Retention(inputs_s=arguments.inputs_s, results_s=arguments.results_s)
    with Store.connect(DatabaseSettings.read()) as store:
        store.tenants.set_retention(arguments.tenant, kept)
    return 0
