"""Limits of tenants, and what each tenant holds of them.

Written in SQL and never changed: it must not depend on the row classes, which change later.
"""

from __future__ import annotations

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

LIMITS = """
ALTER TABLE tenants
    ADD COLUMN requests_per_s double precision,
    ADD COLUMN queued_jobs bigint,
    ADD COLUMN queued_s double precision,
    ADD COLUMN running_jobs bigint,
    ADD COLUMN stored_bytes bigint,
    ADD COLUMN upload_bytes bigint,
    ADD CONSTRAINT tenants_limits_check CHECK (
        requests_per_s > 0 AND queued_jobs >= 0 AND queued_s >= 0 AND running_jobs > 0 AND stored_bytes >= 0
        AND upload_bytes > 0
    );
"""

# No foreign key to tenants: it would lock the tenant's row at each end of a job.
HOLDINGS = """
CREATE TABLE holdings (
    tenant text NOT NULL,
    id bigint GENERATED ALWAYS AS IDENTITY,
    jobs bigint NOT NULL,
    speech_ms bigint NOT NULL,
    stored_bytes bigint NOT NULL,
    CONSTRAINT holdings_pkey PRIMARY KEY (tenant, id)
);
"""

# Triggers cover every statement, also those of the previous version of the code. Rows are inserted and deleted by the
# thousand, so those triggers run once a statement; of the many updates, few change what is held.
JOBS = """
CREATE FUNCTION jobs_hold() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO holdings (tenant, jobs, speech_ms, stored_bytes)
    SELECT tenant, way * count(*) FILTER (WHERE finalized_at IS NULL),
        way * coalesce(sum(round(speech_s * 1000)) FILTER (WHERE finalized_at IS NULL), 0),
        way * coalesce(sum(result_size_bytes) FILTER (WHERE result_deleted_at IS NULL), 0)
    FROM changed, (SELECT CASE TG_OP WHEN 'INSERT' THEN 1 ELSE -1 END AS way) AS sign
    GROUP BY tenant, way;
    RETURN NULL;
END $$;
CREATE FUNCTION jobs_hold_other() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    open_before int := CASE WHEN OLD.finalized_at IS NULL THEN 1 ELSE 0 END;
    open_after int := CASE WHEN NEW.finalized_at IS NULL THEN 1 ELSE 0 END;
BEGIN
    INSERT INTO holdings (tenant, jobs, speech_ms, stored_bytes)
    VALUES (
        NEW.tenant, open_after - open_before,
        open_after * round(NEW.speech_s * 1000) - open_before * round(OLD.speech_s * 1000),
        CASE WHEN NEW.result_deleted_at IS NULL THEN coalesce(NEW.result_size_bytes, 0) ELSE 0 END
        - CASE WHEN OLD.result_deleted_at IS NULL THEN coalesce(OLD.result_size_bytes, 0) ELSE 0 END
    );
    RETURN NULL;
END $$;
CREATE TRIGGER jobs_held AFTER INSERT ON jobs REFERENCING NEW TABLE AS changed
FOR EACH STATEMENT EXECUTE FUNCTION jobs_hold();
CREATE TRIGGER jobs_held_no_more AFTER DELETE ON jobs REFERENCING OLD TABLE AS changed
FOR EACH STATEMENT EXECUTE FUNCTION jobs_hold();
CREATE TRIGGER jobs_held_other AFTER UPDATE ON jobs FOR EACH ROW
WHEN (
    (OLD.finalized_at IS NULL, OLD.speech_s, OLD.result_size_bytes, OLD.result_deleted_at IS NULL)
    IS DISTINCT FROM (NEW.finalized_at IS NULL, NEW.speech_s, NEW.result_size_bytes, NEW.result_deleted_at IS NULL)
) EXECUTE FUNCTION jobs_hold_other();
"""

UPLOADS = """
CREATE FUNCTION uploads_hold() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO holdings (tenant, jobs, speech_ms, stored_bytes)
    SELECT tenant, 0, 0, CASE TG_OP WHEN 'INSERT' THEN 1 ELSE -1 END * sum(size_bytes) FROM changed GROUP BY tenant;
    RETURN NULL;
END $$;
CREATE TRIGGER uploads_held AFTER INSERT ON uploads REFERENCING NEW TABLE AS changed
FOR EACH STATEMENT EXECUTE FUNCTION uploads_hold();
CREATE TRIGGER uploads_held_no_more AFTER DELETE ON uploads REFERENCING OLD TABLE AS changed
FOR EACH STATEMENT EXECUTE FUNCTION uploads_hold();
"""


def upgrade() -> None:
    op.execute(LIMITS)
    op.execute(HOLDINGS)
    op.execute(JOBS)
    op.execute(UPLOADS)


def downgrade() -> None:
    op.execute("DROP TRIGGER jobs_held ON jobs; DROP TRIGGER jobs_held_no_more ON jobs")
    op.execute("DROP TRIGGER jobs_held_other ON jobs; DROP FUNCTION jobs_hold; DROP FUNCTION jobs_hold_other")
    op.execute("DROP TRIGGER uploads_held ON uploads; DROP TRIGGER uploads_held_no_more ON uploads")
    op.execute("DROP FUNCTION uploads_hold; DROP TABLE holdings")
    op.execute(
        "ALTER TABLE tenants DROP COLUMN requests_per_s, DROP COLUMN queued_jobs, DROP COLUMN queued_s, "
        "DROP COLUMN running_jobs, DROP COLUMN stored_bytes, DROP COLUMN upload_bytes"
    )
