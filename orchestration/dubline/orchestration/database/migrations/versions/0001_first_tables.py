"""Tenants, uploads, batches, jobs and attempts.

Written in the database's own words and never changed: it must not follow the row classes, which move on.
"""

from __future__ import annotations

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

TENANTS = """
CREATE TABLE tenants (
    name text CONSTRAINT tenants_pkey PRIMARY KEY
        CONSTRAINT tenants_name_check CHECK (name ~ '^[a-z0-9][a-z0-9_-]{0,62}$'),
    virtual_time_s double precision NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE api_keys (
    sha256 text CONSTRAINT api_keys_pkey PRIMARY KEY
        CONSTRAINT api_keys_sha256_check CHECK (sha256 ~ '^[0-9a-f]{64}$'),
    tenant text NOT NULL CONSTRAINT api_keys_tenant_fkey REFERENCES tenants (name),
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX api_keys_tenant_idx ON api_keys (tenant);
"""

UPLOADS = """
CREATE TABLE uploads (
    id uuid CONSTRAINT uploads_pkey PRIMARY KEY,
    tenant text NOT NULL CONSTRAINT uploads_tenant_fkey REFERENCES tenants (name),
    kind text NOT NULL CONSTRAINT uploads_kind_check CHECK (kind IN ('portrait', 'speech')),
    state text NOT NULL DEFAULT 'pending'
        CONSTRAINT uploads_state_check CHECK (state IN ('pending', 'probing', 'ready', 'rejected')),
    content_type text NOT NULL,
    size_bytes bigint NOT NULL CONSTRAINT uploads_size_bytes_check CHECK (size_bytes > 0),
    created_at timestamptz NOT NULL DEFAULT now(),
    probe_after timestamptz NOT NULL DEFAULT now(),
    probe_attempts integer NOT NULL DEFAULT 0,
    probe_losses integer NOT NULL DEFAULT 0,
    lease_token uuid,
    lease_expires_at timestamptz,
    lease_worker text,
    finalized_at timestamptz,
    error_code text,
    error_detail text,
    media_type text,
    sha256 text CONSTRAINT uploads_sha256_check CHECK (sha256 ~ '^[0-9a-f]{64}$'),
    duration_s double precision CONSTRAINT uploads_duration_check CHECK (duration_s > 0),
    width_px integer,
    height_px integer,
    face_box integer[] CONSTRAINT uploads_face_box_check CHECK (
        cardinality(face_box) = 4 AND face_box[1] < face_box[3] AND face_box[2] < face_box[4]),
    CONSTRAINT uploads_probe_losses_check CHECK (probe_losses BETWEEN 0 AND probe_attempts),
    CONSTRAINT uploads_pixels_check CHECK (width_px > 0 AND height_px > 0),
    CONSTRAINT uploads_lease_check CHECK (
        (lease_token IS NULL) = (lease_expires_at IS NULL)
        AND (lease_token IS NULL) = (lease_worker IS NULL)),
    CONSTRAINT uploads_leased_check CHECK (lease_token IS NULL OR state = 'probing'),
    CONSTRAINT uploads_final_check CHECK ((state IN ('ready', 'rejected')) = (finalized_at IS NOT NULL)),
    CONSTRAINT uploads_rejected_check CHECK (
        (state = 'rejected') = (error_code IS NOT NULL)
        AND (state = 'rejected') = (error_detail IS NOT NULL)),
    CONSTRAINT uploads_ready_check CHECK (
        (state = 'ready') = (media_type IS NOT NULL) AND (state = 'ready') = (sha256 IS NOT NULL)),
    CONSTRAINT uploads_portrait_check CHECK (
        (state = 'ready' AND kind = 'portrait') = (width_px IS NOT NULL)
        AND (state = 'ready' AND kind = 'portrait') = (height_px IS NOT NULL)
        AND (state = 'ready' AND kind = 'portrait') = (face_box IS NOT NULL)),
    CONSTRAINT uploads_speech_check CHECK ((state = 'ready' AND kind = 'speech') = (duration_s IS NOT NULL))
);
CREATE INDEX uploads_tenant_idx ON uploads (tenant);
CREATE INDEX uploads_claimable ON uploads (probe_after, id) WHERE state = 'probing' AND lease_token IS NULL;
CREATE INDEX uploads_leased ON uploads (lease_expires_at) WHERE lease_token IS NOT NULL;
"""

BATCHES = """
CREATE TABLE batches (
    id uuid CONSTRAINT batches_pkey PRIMARY KEY,
    tenant text NOT NULL CONSTRAINT batches_tenant_fkey REFERENCES tenants (name),
    idempotency_key text
        CONSTRAINT batches_idempotency_key_check CHECK (char_length(idempotency_key) BETWEEN 1 AND 255),
    request_sha256 text,
    row_count integer NOT NULL CONSTRAINT batches_row_count_check CHECK (row_count > 0),
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT batches_request_check CHECK ((idempotency_key IS NULL) = (request_sha256 IS NULL)),
    CONSTRAINT batches_idempotency_key UNIQUE (tenant, idempotency_key)
);
"""

JOBS = """
CREATE TABLE jobs (
    id uuid CONSTRAINT jobs_pkey PRIMARY KEY,
    tenant text NOT NULL CONSTRAINT jobs_tenant_fkey REFERENCES tenants (name),
    batch_id uuid CONSTRAINT jobs_batch_id_fkey REFERENCES batches (id),
    position integer CONSTRAINT jobs_position_check CHECK (position >= 0),
    custom_id text CONSTRAINT jobs_custom_id_check CHECK (char_length(custom_id) BETWEEN 1 AND 128),
    portrait_upload_id uuid NOT NULL,
    speech_upload_id uuid NOT NULL,
    speech_s double precision NOT NULL CONSTRAINT jobs_speech_check CHECK (speech_s >= 0),
    preset text NOT NULL,
    weights_sha256 text,
    seed bigint NOT NULL CONSTRAINT jobs_seed_check CHECK (seed BETWEEN 0 AND 4294967295),
    state text NOT NULL CONSTRAINT jobs_state_check CHECK (
        state IN ('cancelled', 'failed', 'queued', 'retrying', 'running', 'succeeded')),
    order_key double precision NOT NULL,
    available_at timestamptz NOT NULL DEFAULT now(),
    attempt_count integer NOT NULL DEFAULT 0,
    stage text CONSTRAINT jobs_stage_check CHECK (
        stage IN ('muxing', 'preparing', 'rendering', 'sampling', 'storing')),
    progress_percent double precision NOT NULL DEFAULT 0
        CONSTRAINT jobs_progress_check CHECK (progress_percent BETWEEN 0 AND 100),
    lease_token uuid,
    lease_expires_at timestamptz,
    lease_worker text,
    error_code text,
    error_detail text,
    result_key text,
    result_size_bytes bigint,
    result_duration_s double precision,
    created_at timestamptz NOT NULL DEFAULT now(),
    started_at timestamptz,
    finalized_at timestamptz,
    CONSTRAINT jobs_running_check CHECK (
        (state = 'running') = (lease_token IS NOT NULL)
        AND (state = 'running') = (lease_expires_at IS NOT NULL)
        AND (state = 'running') = (lease_worker IS NOT NULL)
        AND (state = 'running') = (stage IS NOT NULL)),
    CONSTRAINT jobs_final_check CHECK (
        (state IN ('cancelled', 'failed', 'succeeded')) = (finalized_at IS NOT NULL)),
    CONSTRAINT jobs_succeeded_check CHECK (
        (state = 'succeeded') = (result_key IS NOT NULL)
        AND (state = 'succeeded') = (result_size_bytes IS NOT NULL)
        AND (state = 'succeeded') = (result_duration_s IS NOT NULL)),
    CONSTRAINT jobs_failed_check CHECK (
        (state = 'failed') = (error_code IS NOT NULL) AND (state = 'failed') = (error_detail IS NOT NULL)),
    CONSTRAINT jobs_complete_check CHECK (state <> 'succeeded' OR progress_percent = 100),
    CONSTRAINT jobs_started_check CHECK ((attempt_count > 0) = (started_at IS NOT NULL)),
    CONSTRAINT jobs_attempted_check CHECK (
        attempt_count > 0 OR state NOT IN ('running', 'retrying', 'succeeded')),
    CONSTRAINT jobs_batch_check CHECK ((batch_id IS NULL) = (position IS NULL)),
    CONSTRAINT jobs_batch_position UNIQUE (batch_id, position),
    CONSTRAINT jobs_batch_custom_id UNIQUE (batch_id, custom_id)
);
CREATE INDEX jobs_tenant_idx ON jobs (tenant);
CREATE INDEX jobs_claimable ON jobs (order_key, id) WHERE state IN ('queued', 'retrying');
CREATE INDEX jobs_clock ON jobs (order_key) WHERE attempt_count > 0;
CREATE INDEX jobs_leased ON jobs (lease_expires_at) WHERE state = 'running';
"""

ATTEMPTS = """
CREATE TABLE attempts (
    job_id uuid NOT NULL CONSTRAINT attempts_job_id_fkey REFERENCES jobs (id),
    number integer NOT NULL CONSTRAINT attempts_number_check CHECK (number >= 1),
    token uuid NOT NULL CONSTRAINT attempts_token_key UNIQUE,
    worker text NOT NULL,
    started_at timestamptz NOT NULL DEFAULT now(),
    ended_at timestamptz,
    outcome text CONSTRAINT attempts_outcome_check CHECK (
        outcome IN ('failed', 'released', 'retried', 'succeeded')),
    cause text CONSTRAINT attempts_cause_check CHECK (
        cause IN ('bad_input', 'defect', 'out_of_memory', 'shutdown', 'transient', 'worker_lost')),
    error_code text,
    error_detail text,
    CONSTRAINT attempts_pkey PRIMARY KEY (job_id, number),
    CONSTRAINT attempts_ended_check CHECK ((ended_at IS NULL) = (outcome IS NULL)),
    CONSTRAINT attempts_caused_check CHECK ((outcome IS NULL OR outcome = 'succeeded') = (cause IS NULL)),
    CONSTRAINT attempts_error_check CHECK ((error_code IS NULL) = (error_detail IS NULL)),
    CONSTRAINT attempts_blamed_check CHECK (error_code IS NULL OR outcome IN ('retried', 'failed'))
);
CREATE UNIQUE INDEX attempts_open ON attempts (job_id) WHERE ended_at IS NULL;
"""


def upgrade() -> None:
    for statements in (TENANTS, UPLOADS, BATCHES, JOBS, ATTEMPTS):
        op.execute(statements)


def downgrade() -> None:
    op.execute("DROP TABLE attempts, jobs, batches, uploads, api_keys, tenants")
