"""Consent statements of portraits.

Written in SQL and never changed: it must not depend on the row classes, which change later.
"""

from __future__ import annotations

from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

# The columns have no default, so no row is rewritten; no row exists that a constraint could refuse.
COLUMNS = """
ALTER TABLE uploads
    ADD COLUMN consent_statement text,
    ADD COLUMN consent_subject text,
    ADD COLUMN consent_obtained_at timestamptz,
    ADD CONSTRAINT uploads_consent_check CHECK (
        (consent_statement IS NULL) = (consent_subject IS NULL)
        AND (consent_statement IS NULL) = (consent_obtained_at IS NULL)
    ) NOT VALID,
    ADD CONSTRAINT uploads_consent_kind_check CHECK (consent_statement IS NULL OR kind = 'portrait') NOT VALID,
    ADD CONSTRAINT uploads_consent_length_check CHECK (
        char_length(consent_statement) BETWEEN 1 AND 2000 AND char_length(consent_subject) BETWEEN 1 AND 200
    ) NOT VALID;
"""


def upgrade() -> None:
    op.execute(COLUMNS)


def downgrade() -> None:
    op.execute(
        "ALTER TABLE uploads DROP COLUMN consent_statement, DROP COLUMN consent_subject, "
        "DROP COLUMN consent_obtained_at"
    )
