"""The index that finds a result by its hash, and the checks of the previous migration on existing rows.

Written in SQL and never changed: it must not depend on the row classes, which change later. Every statement can be
repeated, because they are committed one by one.
"""

from __future__ import annotations

from alembic import op

from dubline.orchestration.database.migrations import without_blocking

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

VALIDATE = """
ALTER TABLE uploads
    VALIDATE CONSTRAINT uploads_consent_check,
    VALIDATE CONSTRAINT uploads_consent_kind_check,
    VALIDATE CONSTRAINT uploads_consent_length_check;
"""
INDEX = "jobs_result_sha256 ON jobs (tenant, result_sha256) WHERE result_sha256 IS NOT NULL"


def upgrade() -> None:
    with without_blocking(op.get_context()):
        op.execute(VALIDATE)
        # An index of an interrupted run is not valid and is created again.
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS jobs_result_sha256")
        op.execute(f"CREATE INDEX CONCURRENTLY {INDEX}")


def downgrade() -> None:
    op.execute("DROP INDEX jobs_result_sha256")
