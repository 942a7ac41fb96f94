"""Versions of weights in the bucket, and the pinned ones, which new jobs are rendered with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert

from dubline.orchestration.database.rows import WeightsRow
from dubline.orchestration.database.store.transaction import transaction
from dubline.orchestration.domain.errors import NotFoundError
from dubline.orchestration.domain.weights import Version

if TYPE_CHECKING:
    from sqlalchemy import Engine
    from sqlalchemy.orm import Session

    from dubline.orchestration.domain.weights import Manifest

#: SQL condition that the version of a row of `known` is in the bucket.
PUSHED: Final = """EXISTS (
        SELECT FROM weights WHERE weights.preset = known.preset AND weights.sha256 = known.weights_sha256
    )"""


class Weights:
    """Versions of weights."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def add(self, manifest: Manifest) -> None:
        """Record a version whose files are in the bucket; again is harmless."""
        values = {"preset": manifest.preset, "sha256": manifest.sha256, "size_bytes": manifest.size_bytes}
        with transaction(self._engine) as session:
            session.execute(insert(WeightsRow).values(**values).on_conflict_do_nothing())

    def list(self) -> list[Version]:
        """Read all versions, by preset and time."""
        query = select(WeightsRow).order_by(WeightsRow.preset, WeightsRow.pushed_at, WeightsRow.sha256)
        with transaction(self._engine) as session:
            return [
                Version(row.preset, row.sha256, row.size_bytes, row.pushed_at, row.pinned_at)
                for row in session.scalars(query)
            ]

    def pin(self, preset: str, sha256: str | None) -> None:
        """Pin new jobs of a preset to a version. Accepted jobs keep theirs.

        Args:
            preset: of the jobs.
            sha256: the version; None: jobs are rendered with the weights of the worker's package.

        Raises:
            NotFoundError: the version was not pushed; nothing is changed.
        """
        with transaction(self._engine) as session:
            # All versions are locked, so that two calls do not pin one each.
            found = set(
                session.scalars(
                    select(WeightsRow.sha256)
                    .where(WeightsRow.preset == preset)
                    .order_by(WeightsRow.sha256)
                    .with_for_update()
                )
            )
            if sha256 is not None and sha256 not in found:
                raise NotFoundError(f"There are no weights {sha256} of the preset {preset}. Push them first.")
            rows = update(WeightsRow).where(WeightsRow.preset == preset)
            session.execute(rows.where(WeightsRow.pinned_at.is_not(None)).values(pinned_at=None))
            session.execute(rows.where(WeightsRow.sha256 == sha256).values(pinned_at=func.now()))


def pinned(session: Session) -> dict[str, str]:
    """Read the pinned version of each preset that has one."""
    query = select(WeightsRow.preset, WeightsRow.sha256).where(WeightsRow.pinned_at.is_not(None))
    return {row.preset: row.sha256 for row in session.execute(query)}
