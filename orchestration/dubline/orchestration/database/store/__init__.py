"""The store: all access to the rows. Each method is one transaction and returns frozen records."""

from __future__ import annotations

from dubline.orchestration.database.store.store import Store

__all__ = ["Store"]
