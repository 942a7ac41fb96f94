"""Controls of a job: what to change about its motion.

Written in the database's own words and never changed: it must not follow the row classes, which move on.
"""

from __future__ import annotations

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

JOBS = """
ALTER TABLE jobs
    ADD COLUMN expression double precision NOT NULL DEFAULT 1,
    ADD COLUMN head_motion double precision NOT NULL DEFAULT 1,
    ADD COLUMN blink double precision NOT NULL DEFAULT 1,
    ADD COLUMN shut_in_silence double precision NOT NULL DEFAULT 1,
    ADD CONSTRAINT jobs_expression_check CHECK (expression BETWEEN 0 AND 2),
    ADD CONSTRAINT jobs_head_motion_check CHECK (head_motion BETWEEN 0 AND 2),
    ADD CONSTRAINT jobs_blink_check CHECK (blink BETWEEN 0 AND 2),
    ADD CONSTRAINT jobs_shut_in_silence_check CHECK (shut_in_silence BETWEEN 0 AND 1);
"""

UNDONE = """
ALTER TABLE jobs
    DROP COLUMN expression,
    DROP COLUMN head_motion,
    DROP COLUMN blink,
    DROP COLUMN shut_in_silence;
"""


def upgrade() -> None:
    op.execute(JOBS)


def downgrade() -> None:
    op.execute(UNDONE)
