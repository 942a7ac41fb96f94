"""Ids of other tenants' uploads are removed from failed jobs, and the check of the previous migration is validated.

Written in SQL and never changed: it must not depend on the row classes, which change later. Every statement can be
repeated, because they are committed one by one.
"""

from __future__ import annotations

from alembic import op
from sqlalchemy import text

from dubline.orchestration.database.migrations import without_blocking

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None

# In pages, so that no transaction is long.
PAGE = text("""
WITH page AS (
    SELECT id, tenant, portrait_upload_id AS portrait, speech_upload_id AS speech, state
    FROM jobs WHERE id > :after ORDER BY id LIMIT 10000
), foreign_ids AS (
    SELECT page.id,
        EXISTS (SELECT FROM uploads WHERE id = portrait AND tenant <> page.tenant) AS foreign_portrait,
        EXISTS (SELECT FROM uploads WHERE id = speech AND tenant <> page.tenant) AS foreign_speech
    FROM page WHERE state = 'failed'
), removed AS (
    UPDATE jobs SET
        portrait_upload_id = CASE WHEN NOT foreign_portrait THEN portrait_upload_id END,
        speech_upload_id = CASE WHEN NOT foreign_speech THEN speech_upload_id END
    FROM foreign_ids WHERE jobs.id = foreign_ids.id AND (foreign_portrait OR foreign_speech)
)
SELECT id FROM page ORDER BY id DESC LIMIT 1
""")


def upgrade() -> None:
    with without_blocking(op.get_context()):
        after = "00000000-0000-0000-0000-000000000000"
        while after is not None:
            after = op.get_bind().scalar(PAGE, {"after": after})
        op.execute("ALTER TABLE jobs VALIDATE CONSTRAINT jobs_named_check")


def downgrade() -> None:
    pass
