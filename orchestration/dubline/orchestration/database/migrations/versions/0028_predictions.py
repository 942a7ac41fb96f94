"""Work of jobs, learned rates, and the work that waits.

Written in SQL and never changed: it must not depend on the row classes, which change later.
"""

from __future__ import annotations

from alembic import op

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None

COLUMNS = """
ALTER TABLE jobs
    ADD COLUMN work_s double precision,
    ADD COLUMN crop_size text,
    ADD CONSTRAINT jobs_work_check CHECK (work_s > 0) NOT VALID,
    ADD CONSTRAINT jobs_crop_size_check CHECK (crop_size IN ('huge', 'large', 'medium', 'small')) NOT VALID;
"""

TABLES = """
CREATE TABLE learned_rates (
    preset text NOT NULL,
    pool text NOT NULL,
    crop_size text NOT NULL,
    log_rate double precision NOT NULL,
    variance double precision NOT NULL,
    weight double precision NOT NULL,
    learned_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT learned_rates_pkey PRIMARY KEY (preset, pool, crop_size),
    CONSTRAINT learned_rates_crop_size_check CHECK (crop_size IN ('huge', 'large', 'medium', 'small')),
    CONSTRAINT learned_rates_variance_check CHECK (variance >= 0),
    CONSTRAINT learned_rates_weight_check CHECK (weight > 0)
);
CREATE TABLE waiting_work (
    id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT waiting_work_pkey PRIMARY KEY,
    preset text NOT NULL,
    crop_size text NOT NULL,
    jobs bigint NOT NULL,
    work_ms bigint NOT NULL
);
"""

# Triggers cover every statement, also those of the previous version of the code. Jobs are inserted and deleted by the
# thousand, so those triggers run once a statement; of the updates, only those that begin or end the waiting run one.
TRIGGERS = """
CREATE FUNCTION jobs_wait() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO waiting_work (preset, crop_size, jobs, work_ms)
    SELECT preset, coalesce(crop_size, 'medium'), way * count(*),
        way * sum(round(1000 * coalesce(work_s, cost_s, speech_s))::bigint)
    FROM changed, (SELECT CASE TG_OP WHEN 'INSERT' THEN 1 ELSE -1 END AS way) AS sign
    WHERE state = 'queued' GROUP BY preset, coalesce(crop_size, 'medium'), way;
    RETURN NULL;
END $$;
CREATE FUNCTION jobs_wait_other() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.state = 'queued' THEN
        INSERT INTO waiting_work (preset, crop_size, jobs, work_ms) VALUES (
            OLD.preset, coalesce(OLD.crop_size, 'medium'), -1,
            -round(1000 * coalesce(OLD.work_s, OLD.cost_s, OLD.speech_s))::bigint
        );
    END IF;
    IF NEW.state = 'queued' THEN
        INSERT INTO waiting_work (preset, crop_size, jobs, work_ms) VALUES (
            NEW.preset, coalesce(NEW.crop_size, 'medium'), 1,
            round(1000 * coalesce(NEW.work_s, NEW.cost_s, NEW.speech_s))::bigint
        );
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER jobs_waiting AFTER INSERT ON jobs REFERENCING NEW TABLE AS changed
FOR EACH STATEMENT EXECUTE FUNCTION jobs_wait();
CREATE TRIGGER jobs_waiting_no_more AFTER DELETE ON jobs REFERENCING OLD TABLE AS changed
FOR EACH STATEMENT EXECUTE FUNCTION jobs_wait();
CREATE TRIGGER jobs_waiting_other AFTER UPDATE ON jobs FOR EACH ROW
WHEN (
    (OLD.state = 'queued' OR NEW.state = 'queued')
    AND (OLD.state, OLD.preset, OLD.crop_size, OLD.work_s, OLD.cost_s, OLD.speech_s)
    IS DISTINCT FROM (NEW.state, NEW.preset, NEW.crop_size, NEW.work_s, NEW.cost_s, NEW.speech_s)
) EXECUTE FUNCTION jobs_wait_other();
"""


def upgrade() -> None:
    op.execute(COLUMNS)
    op.execute(TABLES)
    op.execute(TRIGGERS)


def downgrade() -> None:
    op.execute("DROP TRIGGER jobs_waiting ON jobs; DROP TRIGGER jobs_waiting_no_more ON jobs")
    op.execute("DROP TRIGGER jobs_waiting_other ON jobs; DROP FUNCTION jobs_wait; DROP FUNCTION jobs_wait_other")
    op.execute("DROP TABLE waiting_work; DROP TABLE learned_rates")
    op.execute("ALTER TABLE jobs DROP COLUMN work_s, DROP COLUMN crop_size")
