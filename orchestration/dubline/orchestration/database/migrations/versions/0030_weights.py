"""Versions of weights in the bucket, and the one that new jobs of a preset are pinned to.

Written in SQL and never changed: it must not depend on the row classes, which change later. The version of a job is in
`jobs.weights_sha256`, which exists since revision 0001.
"""

from __future__ import annotations

from alembic import op

revision = "0030"
down_revision = "0029"
branch_labels = None
depends_on = None

TABLE = """
CREATE TABLE weights (
    preset text NOT NULL,
    sha256 text NOT NULL CONSTRAINT weights_sha256_check CHECK (sha256 ~ '^[0-9a-f]{64}$'),
    size_bytes bigint NOT NULL CONSTRAINT weights_size_check CHECK (size_bytes > 0),
    pushed_at timestamptz NOT NULL DEFAULT now(),
    pinned_at timestamptz,
    CONSTRAINT weights_pkey PRIMARY KEY (preset, sha256)
);
CREATE UNIQUE INDEX weights_pinned ON weights (preset) WHERE pinned_at IS NOT NULL;
"""


def upgrade() -> None:
    op.execute(TABLE)


def downgrade() -> None:
    op.execute("DROP TABLE weights")
