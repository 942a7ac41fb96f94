"""What the life of an upload depends on, and the date by which a batch promised to delete its inputs.

Written in SQL and never changed: it must not depend on the row classes, which change later.
"""

from __future__ import annotations

from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

# `now()` is evaluated once, so no row is rewritten: existing uploads are looked at after seven days.
COLUMNS = """
ALTER TABLE uploads
    ADD COLUMN unused_s integer NOT NULL DEFAULT 604800,
    ADD COLUMN unused_since timestamptz NOT NULL DEFAULT now(),
    ADD COLUMN delete_by timestamptz,
    ADD COLUMN review_at timestamptz DEFAULT (now() + '7 days'::interval),
    ADD CONSTRAINT uploads_unused_s_check CHECK (unused_s > 0) NOT VALID;
ALTER TABLE batches ADD COLUMN inputs_expire_at timestamptz;
"""

# The previous version deletes an upload at `expire_at`, so this version does not write that column, and follows it.
UPLOADS = """
CREATE FUNCTION uploads_review_expired() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.review_at := LEAST(NEW.review_at, NEW.expire_at);
    RETURN NEW;
END $$;
CREATE TRIGGER uploads_expiring BEFORE INSERT OR UPDATE OF expire_at ON uploads FOR EACH ROW
WHEN (NEW.expire_at IS NOT NULL) EXECUTE FUNCTION uploads_review_expired();
"""

# A trigger covers every statement that makes the last job of a batch final, also those of the previous version.
BATCHES = """
CREATE FUNCTION batches_date_inputs() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.inputs_expire_at := now() + make_interval(secs => NEW.inputs_s);
    RETURN NEW;
END $$;
CREATE TRIGGER batches_ended BEFORE UPDATE OF open_count ON batches FOR EACH ROW
WHEN (NEW.open_count = 0 AND OLD.open_count IS DISTINCT FROM 0 AND NEW.inputs_s IS NOT NULL)
EXECUTE FUNCTION batches_date_inputs();
"""


def upgrade() -> None:
    op.execute(COLUMNS)
    op.execute(UPLOADS)
    op.execute(BATCHES)


def downgrade() -> None:
    op.execute("DROP TRIGGER batches_ended ON batches; DROP TRIGGER uploads_expiring ON uploads")
    op.execute("DROP FUNCTION batches_date_inputs; DROP FUNCTION uploads_review_expired")
    op.execute("ALTER TABLE batches DROP COLUMN inputs_expire_at")
    op.execute(
        "ALTER TABLE uploads DROP COLUMN unused_s, DROP COLUMN unused_since, DROP COLUMN delete_by,"
        " DROP COLUMN review_at"
    )
