"""The scope of keys that read the work of pools.

Written in SQL and never changed: it must not depend on the row classes, which change later. Every statement can be
repeated, because they are committed one by one.
"""

from __future__ import annotations

from alembic import op

from dubline.orchestration.database.migrations import without_blocking

revision = "0032"
down_revision = "0031"
branch_labels = None
depends_on = None

CHECK = """
ALTER TABLE api_keys DROP CONSTRAINT api_keys_scopes_check, ADD CONSTRAINT api_keys_scopes_check CHECK (
    cardinality(scopes) > 0 AND scopes <@ ARRAY['admin', 'delete', 'read', 'scaling', 'submit']
) NOT VALID
"""


def upgrade() -> None:
    op.execute(CHECK)
    with without_blocking(op.get_context()):
        op.execute("ALTER TABLE api_keys VALIDATE CONSTRAINT api_keys_scopes_check")


def downgrade() -> None:
    op.execute("DELETE FROM api_keys WHERE scopes = '{scaling}'")
    op.execute("UPDATE api_keys SET scopes = array_remove(scopes, 'scaling')")
    op.execute(
        "ALTER TABLE api_keys DROP CONSTRAINT api_keys_scopes_check, ADD CONSTRAINT api_keys_scopes_check CHECK ("
        "cardinality(scopes) > 0 AND scopes <@ ARRAY['admin', 'delete', 'read', 'submit'])"
    )
