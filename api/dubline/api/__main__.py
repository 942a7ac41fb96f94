"""The API process: reads the settings, connects to the services and serves HTTP."""

from __future__ import annotations

import sys

from dubline.orchestration import process

if __name__ == "__main__":
    # Before the other imports, which take a second.
    process.end_on_sigterm()

from pydantic import ValidationError

from dubline.api import server
from dubline.api.app import create_app
from dubline.api.services import Services
from dubline.orchestration import logs, metrics, tracing
from dubline.orchestration.database.store import Store
from dubline.orchestration.domain.errors import DublineError
from dubline.orchestration.rates import Rates
from dubline.orchestration.settings import (
    ApiSettings,
    BucketSettings,
    DatabaseSettings,
    LimitSettings,
    LogSettings,
    MetricsSettings,
    ScalingSettings,
    validation_messages,
)
from dubline.orchestration.storage.objects import Objects


def main() -> int:
    """Serve until a signal, and finish the requests in flight.

    Returns:
        0; 1 after an error, which is printed in one sentence or logged; 2 if a setting is missing or not valid.
    """
    process.hide_memory()
    try:
        logs.configure(LogSettings.read())
        listen = ApiSettings.read()
        services = _connect(listen)
        published = MetricsSettings.read()
    except ValidationError as error:
        sys.stderr.writelines(f"dubline: {message}\n" for message in validation_messages(error))
        return 2
    except DublineError as error:
        sys.stderr.write(f"dubline: {error.detail}\n")
        return 1
    with metrics.published(published), tracing.configured("api"):
        started = server.run(create_app(services), listen)
    return 0 if started else 1


def _connect(settings: ApiSettings) -> Services:
    return Services(
        store=Store.serve(DatabaseSettings.read()),
        objects=Objects(BucketSettings.read()),
        limits=LimitSettings.read(),
        rates=Rates(settings.rates_url.get_secret_value()),
        pools=tuple(pool.policy() for pool in ScalingSettings.read().pools),
    )


if __name__ == "__main__":
    sys.exit(main())
