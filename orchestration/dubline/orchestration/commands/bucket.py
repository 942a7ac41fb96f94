"""The command that needs the bucket only: create-bucket."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dubline.orchestration.settings import BucketSettings
from dubline.orchestration.storage.objects import Objects

if TYPE_CHECKING:
    from argparse import Namespace


def create_bucket(_: Namespace) -> int:
    """Create the bucket if it does not exist."""
    Objects(BucketSettings.read()).create_bucket()
    return 0
