"""The command that prepares an empty installation in one process: tables, bucket, and a key of one tenant."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dubline.orchestration.commands import bucket, database, keys

if TYPE_CHECKING:
    from argparse import Namespace


def prepare(arguments: Namespace) -> int:
    """Migrate the tables, create the bucket if it does not exist, and create a key of the tenant."""
    database.migrate(arguments)
    bucket.create_bucket(arguments)
    return keys.create(arguments)
