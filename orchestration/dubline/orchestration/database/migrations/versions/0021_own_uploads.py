"""A job names uploads of its own tenant only, and the audit log cannot be emptied.

Written in SQL and never changed: it must not depend on the row classes, which change later.
"""

from __future__ import annotations

from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None

JOBS = """
ALTER TABLE jobs
    ALTER COLUMN portrait_upload_id DROP NOT NULL,
    ALTER COLUMN speech_upload_id DROP NOT NULL,
    ADD CONSTRAINT jobs_named_check CHECK (
        state = 'failed' OR portrait_upload_id IS NOT NULL AND speech_upload_id IS NOT NULL
    ) NOT VALID
"""

# No foreign key: the ids of deleted uploads stay in final jobs. An id of nobody or of another tenant is removed, also
# if the previous version inserts it; a job that is not failed violates the CHECK then. Subqueries: a plan that is
# cached for many rows must not scan a table for few.
TRIGGERS = """
CREATE FUNCTION jobs_name_own_uploads() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    found record;
BEGIN
    FOR found IN
        SELECT * FROM (
            SELECT id, portrait_upload_id AS portrait, speech_upload_id AS speech,
                (SELECT uploads.id FROM uploads WHERE uploads.id = portrait_upload_id AND tenant = inserted.tenant)
                AS own_portrait,
                (SELECT uploads.id FROM uploads WHERE uploads.id = speech_upload_id AND tenant = inserted.tenant)
                AS own_speech
            FROM inserted
        ) AS named
        WHERE own_portrait IS DISTINCT FROM portrait OR own_speech IS DISTINCT FROM speech
    LOOP
        UPDATE jobs SET portrait_upload_id = found.own_portrait, speech_upload_id = found.own_speech
        WHERE id = found.id;
    END LOOP;
    RETURN NULL;
END $$;
CREATE TRIGGER jobs_naming AFTER INSERT ON jobs REFERENCING NEW TABLE AS inserted
FOR EACH STATEMENT EXECUTE FUNCTION jobs_name_own_uploads();
CREATE FUNCTION jobs_refuse_foreign_uploads() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT FROM uploads WHERE id IN (NEW.portrait_upload_id, NEW.speech_upload_id) AND tenant <> NEW.tenant
    ) THEN
        RAISE EXCEPTION 'a job names an upload of another tenant' USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER jobs_naming_other BEFORE UPDATE OF tenant, portrait_upload_id, speech_upload_id ON jobs FOR EACH ROW
EXECUTE FUNCTION jobs_refuse_foreign_uploads();
CREATE TRIGGER audit_not_emptied BEFORE TRUNCATE ON audit FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse_change();
"""


def upgrade() -> None:
    op.execute(JOBS)
    op.execute(TRIGGERS)


def downgrade() -> None:
    op.execute("DROP TRIGGER audit_not_emptied ON audit")
    op.execute("DROP TRIGGER jobs_naming ON jobs; DROP TRIGGER jobs_naming_other ON jobs")
    op.execute("DROP FUNCTION jobs_name_own_uploads; DROP FUNCTION jobs_refuse_foreign_uploads")
    op.execute("ALTER TABLE jobs DROP CONSTRAINT jobs_named_check")
    op.execute(
        "UPDATE jobs SET portrait_upload_id = coalesce(portrait_upload_id, gen_random_uuid()),"
        " speech_upload_id = coalesce(speech_upload_id, gen_random_uuid())"
        " WHERE portrait_upload_id IS NULL OR speech_upload_id IS NULL"
    )
    op.execute(
        "ALTER TABLE jobs ALTER COLUMN portrait_upload_id SET NOT NULL, ALTER COLUMN speech_upload_id SET NOT NULL"
    )
