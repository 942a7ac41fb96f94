"""Idempotency keys of jobs and uploads, hashes of results, and the last change of a job.

Written in SQL and never changed: it must not depend on the row classes, which change later.
"""

from __future__ import annotations

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

# The columns have no default in existing rows, so no row is rewritten.
COLUMNS = """
ALTER TABLE jobs
    ADD COLUMN result_sha256 text,
    ADD COLUMN idempotency_key text,
    ADD COLUMN request_sha256 text,
    ADD COLUMN changed_xid xid8,
    ADD CONSTRAINT jobs_result_sha256_check CHECK (result_sha256 ~ '^[0-9a-f]{64}$') NOT VALID,
    ADD CONSTRAINT jobs_idempotency_key_check CHECK (char_length(idempotency_key) BETWEEN 1 AND 255) NOT VALID,
    ADD CONSTRAINT jobs_request_check CHECK ((idempotency_key IS NULL) = (request_sha256 IS NULL)) NOT VALID;
ALTER TABLE jobs ALTER COLUMN changed_xid SET DEFAULT pg_current_xact_id();
ALTER TABLE uploads
    ADD COLUMN idempotency_key text,
    ADD COLUMN request_sha256 text,
    ADD CONSTRAINT uploads_idempotency_key_check CHECK (char_length(idempotency_key) BETWEEN 1 AND 255) NOT VALID,
    ADD CONSTRAINT uploads_request_check CHECK ((idempotency_key IS NULL) = (request_sha256 IS NULL)) NOT VALID;
"""

# Only columns that a sender sees: renewing a lease is no change. A trigger covers every statement.
TRIGGER = """
CREATE FUNCTION jobs_mark_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.changed_xid := pg_current_xact_id();
    RETURN NEW;
END $$;
CREATE TRIGGER jobs_changed BEFORE UPDATE ON jobs FOR EACH ROW
WHEN (
    (OLD.state, OLD.stage, OLD.progress_percent, OLD.attempt_count, OLD.result_deleted_at)
    IS DISTINCT FROM (NEW.state, NEW.stage, NEW.progress_percent, NEW.attempt_count, NEW.result_deleted_at)
) EXECUTE FUNCTION jobs_mark_changed();
"""


def upgrade() -> None:
    op.execute(COLUMNS)
    op.execute(TRIGGER)


def downgrade() -> None:
    op.execute("DROP TRIGGER jobs_changed ON jobs")
    op.execute("DROP FUNCTION jobs_mark_changed")
    op.execute(
        "ALTER TABLE jobs DROP COLUMN result_sha256, DROP COLUMN idempotency_key, DROP COLUMN request_sha256, "
        "DROP COLUMN changed_xid"
    )
    op.execute("ALTER TABLE uploads DROP COLUMN idempotency_key, DROP COLUMN request_sha256")
