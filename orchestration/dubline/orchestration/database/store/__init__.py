"""The store: the only way to the rows. One transaction per method; plain frozen records in and out."""

from dubline.orchestration.database.store.store import Store

__all__ = ["Store"]
