"""Scopes and expiry of keys, one usage row for each final job, and an audit log that cannot be changed.

Written in SQL and never changed: it must not depend on the row classes, which change later.
"""

from __future__ import annotations

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

# The columns have constant defaults, so no row is rewritten.
KEYS = """
ALTER TABLE api_keys
    ADD COLUMN scopes text[] NOT NULL DEFAULT '{read,submit,delete}',
    ADD COLUMN expires_at timestamptz,
    ADD COLUMN last_used_at timestamptz,
    ADD CONSTRAINT api_keys_scopes_check CHECK (
        cardinality(scopes) > 0 AND scopes <@ ARRAY['admin', 'delete', 'read', 'submit']
    );
"""

# A trigger covers every statement that makes a job final, also those of the previous version of the code.
USAGE = """
CREATE TABLE usage (
    job_id uuid NOT NULL CONSTRAINT usage_pkey PRIMARY KEY,
    tenant text NOT NULL,
    day date NOT NULL,
    preset text NOT NULL,
    state text NOT NULL CONSTRAINT usage_state_check CHECK (state IN ('cancelled', 'failed', 'succeeded')),
    video_s double precision NOT NULL CONSTRAINT usage_video_s_check CHECK (video_s >= 0),
    device_s double precision NOT NULL CONSTRAINT usage_device_s_check CHECK (device_s >= 0),
    size_bytes bigint NOT NULL CONSTRAINT usage_size_bytes_check CHECK (size_bytes >= 0)
);
CREATE FUNCTION jobs_record_usage() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO usage (job_id, tenant, day, preset, state, video_s, device_s, size_bytes)
    VALUES (
        NEW.id, NEW.tenant, (NEW.finalized_at AT TIME ZONE 'UTC')::date, NEW.preset, NEW.state,
        coalesce(NEW.result_duration_s, 0), NEW.gpu_s, coalesce(NEW.result_size_bytes, 0)
    ) ON CONFLICT DO NOTHING;
    RETURN NULL;
END $$;
CREATE TRIGGER jobs_ended AFTER UPDATE ON jobs FOR EACH ROW
WHEN (OLD.finalized_at IS NULL AND NEW.finalized_at IS NOT NULL) EXECUTE FUNCTION jobs_record_usage();
CREATE TRIGGER jobs_ended_at_admission AFTER INSERT ON jobs FOR EACH ROW
WHEN (NEW.finalized_at IS NOT NULL) EXECUTE FUNCTION jobs_record_usage();
"""

AUDIT = """
ALTER TABLE audit
    ADD COLUMN subject_name text,
    ADD COLUMN detail jsonb,
    DROP CONSTRAINT audit_action_check,
    DROP CONSTRAINT audit_subject_kind_check,
    DROP CONSTRAINT audit_orphan_check,
    ADD CONSTRAINT audit_action_check CHECK (action IN (
        'create_key', 'create_tenant', 'delete', 'expire', 'orphan', 'revoke_key', 'rotate_key', 'set_limits',
        'set_retention'
    )) NOT VALID,
    ADD CONSTRAINT audit_subject_kind_check CHECK (
        subject_kind IN ('batch', 'job', 'key', 'object', 'tenant', 'upload')
    ) NOT VALID,
    ADD CONSTRAINT audit_orphan_check CHECK (
        (action = 'orphan') = (tenant IS NULL) AND (action = 'orphan') = (subject_kind = 'object')
    ) NOT VALID,
    ADD CONSTRAINT audit_subject_check CHECK (
        (subject_kind IN ('batch', 'job', 'upload')) = (subject_id IS NOT NULL)
        AND (subject_kind IN ('key', 'tenant')) = (subject_name IS NOT NULL)
    ) NOT VALID;
CREATE FUNCTION audit_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'entries of the audit log are never changed or deleted';
END $$;
CREATE TRIGGER audit_kept BEFORE DELETE ON audit FOR EACH ROW EXECUTE FUNCTION audit_refuse_change();
CREATE TRIGGER audit_unchanged BEFORE UPDATE ON audit FOR EACH ROW
WHEN (
    OLD.completed_at IS NOT NULL
    OR (to_jsonb(OLD) - 'objects' - 'completed_at') IS DISTINCT FROM (to_jsonb(NEW) - 'objects' - 'completed_at')
) EXECUTE FUNCTION audit_refuse_change();
"""


def upgrade() -> None:
    op.execute(KEYS)
    op.execute(USAGE)
    op.execute(AUDIT)


def downgrade() -> None:
    op.execute("DROP TRIGGER jobs_ended ON jobs; DROP TRIGGER jobs_ended_at_admission ON jobs")
    op.execute("DROP FUNCTION jobs_record_usage; DROP TABLE usage")
    op.execute("DROP TRIGGER audit_kept ON audit; DROP TRIGGER audit_unchanged ON audit")
    op.execute("DROP FUNCTION audit_refuse_change")
    op.execute("DELETE FROM audit WHERE subject_kind IN ('key', 'tenant')")
    op.execute("ALTER TABLE audit DROP COLUMN subject_name, DROP COLUMN detail")
    op.execute("ALTER TABLE api_keys DROP COLUMN scopes, DROP COLUMN expires_at, DROP COLUMN last_used_at")
