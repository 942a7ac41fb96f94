"""Shares: the right of a worker to render segments of a long job that another worker holds.

Written in SQL and never changed: it must not depend on the row classes, which change later.

Workers of the previous version neither know shares nor compare the version of the renderer. Their claims do not set
`attempts.checks_renderer`. A trigger then takes away what they must not mix with their own segments.
"""

from __future__ import annotations

from alembic import op

revision = "0035"
down_revision = "0034"
branch_labels = None
depends_on = None

COLUMNS = """
ALTER TABLE jobs ADD COLUMN shared_segments integer;
ALTER TABLE attempts ADD COLUMN checks_renderer boolean NOT NULL DEFAULT false;
"""
TABLES = """
CREATE TABLE shares (
    token uuid NOT NULL CONSTRAINT shares_pkey PRIMARY KEY,
    job_id uuid NOT NULL CONSTRAINT shares_job_id_fkey REFERENCES jobs (id) ON DELETE CASCADE,
    worker text NOT NULL,
    pool text NOT NULL,
    lease_expires_at timestamptz NOT NULL,
    started_at timestamptz NOT NULL DEFAULT now(),
    kept_at timestamptz,
    ended_at timestamptz,
    cause text CONSTRAINT shares_cause_check CHECK (cause IN (
        'bad_input', 'cancelled', 'deadline', 'defect', 'out_of_memory', 'shutdown', 'transient', 'worker_lost')),
    gpu_s double precision NOT NULL DEFAULT 0,
    CONSTRAINT shares_ended_check CHECK (cause IS NULL OR ended_at IS NOT NULL),
    CONSTRAINT shares_gpu_check CHECK (gpu_s >= 0)
);
CREATE INDEX shares_of_job ON shares (job_id);
CREATE INDEX shares_open ON shares (lease_expires_at) WHERE ended_at IS NULL;
CREATE TABLE reserved_segments (
    job_id uuid NOT NULL CONSTRAINT reserved_segments_job_id_fkey REFERENCES jobs (id) ON DELETE CASCADE,
    number integer NOT NULL CONSTRAINT reserved_segments_number_check CHECK (number >= 0),
    token uuid NOT NULL,
    CONSTRAINT reserved_segments_pkey PRIMARY KEY (job_id, number)
);
"""
TRIGGER = """
CREATE FUNCTION attempts_discard_checkpoints() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM jobs WHERE id = NEW.job_id AND renderer_sha256 IS NOT NULL) THEN
        WITH dropped AS (DELETE FROM checkpoints WHERE job_id = NEW.job_id RETURNING object_key)
        INSERT INTO doomed_objects (object_key) SELECT object_key FROM dropped ON CONFLICT DO NOTHING;
        UPDATE shares SET ended_at = now() WHERE job_id = NEW.job_id AND ended_at IS NULL;
        UPDATE jobs SET renderer_sha256 = NULL, shared_segments = NULL WHERE id = NEW.job_id;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER attempts_discard_checkpoints AFTER INSERT ON attempts
    FOR EACH ROW WHEN (NOT NEW.checks_renderer) EXECUTE FUNCTION attempts_discard_checkpoints();
"""


def upgrade() -> None:
    op.execute(COLUMNS)
    op.execute(TABLES)
    op.execute(TRIGGER)


def downgrade() -> None:
    op.execute("DROP TRIGGER attempts_discard_checkpoints ON attempts; DROP FUNCTION attempts_discard_checkpoints")
    op.execute("DROP TABLE reserved_segments, shares")
    op.execute("ALTER TABLE jobs DROP COLUMN shared_segments; ALTER TABLE attempts DROP COLUMN checks_renderer")
