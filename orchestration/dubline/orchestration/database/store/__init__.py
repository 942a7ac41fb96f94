"""The store: the only way to the rows. One transaction per method; plain frozen records in and out."""

from __future__ import annotations

from dubline.orchestration.database.store.store import Store

__all__ = ["Store"]
