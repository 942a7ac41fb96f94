from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from dubline.orchestration.database.store.transaction import transaction
from dubline.orchestration.domain.audit import AuditAction
from dubline.orchestration.domain.batches import Retention
from dubline.orchestration.domain.errors import InvalidRequestError, NotFoundError
from dubline.orchestration.domain.keys import DEFAULT_SCOPES, Scope

if TYPE_CHECKING:
    from dubline.orchestration.database.store import Store


def test_a_key_authenticates_its_tenant(store: Store) -> None:
    first, second = store.keys.create("acme"), store.keys.create("acme")
    assert first != second
    assert [store.keys.authenticate(key).tenant for key in (first, second)] == ["acme", "acme"]


@pytest.mark.parametrize("key", ["", "dubline_unknown", "\x00", "ключ", "\udc80"])
def test_an_unknown_key_authenticates_no_caller(store: Store, key: str) -> None:
    assert store.keys.authenticate(key) is None


def test_the_key_itself_is_not_stored(store: Store) -> None:
    key = store.keys.create("acme")
    with transaction(store._engine) as session:
        assert key not in str(session.execute(text("SELECT * FROM api_keys")).all())
        assert key not in str(session.execute(text("SELECT * FROM audit")).all())


@pytest.mark.parametrize("name", ["", "Acme", "a b", "-a", "a" * 64, "a\n"])
def test_an_invalid_name_of_a_tenant_is_refused(store: Store, name: str) -> None:
    with pytest.raises(InvalidRequestError):
        store.keys.create(name)


def test_a_key_has_its_scopes_and_expires(store: Store) -> None:
    new = store.keys.issue("acme", {Scope.READ}, 3600)
    caller = store.keys.authenticate(new.secret)
    assert caller is not None
    assert caller.scopes == {Scope.READ}
    assert caller.life_s == pytest.approx(3600, abs=60)
    assert store.keys.authenticate(store.keys.issue("acme", DEFAULT_SCOPES, 0).secret) is None


def test_a_revoked_key_authenticates_no_caller(store: Store) -> None:
    new = store.keys.issue("acme")
    with pytest.raises(NotFoundError):
        store.keys.revoke("globex", new.key.id)
    store.keys.revoke("acme", new.key.id)
    assert store.keys.authenticate(new.secret) is None
    assert store.keys.list("acme") == ()


def test_a_rotated_key_is_valid_during_the_overlap(store: Store) -> None:
    old = store.keys.issue("acme", {Scope.READ, Scope.ADMIN}, 7200)
    new = store.keys.rotate("acme", old.key.id, 60)
    assert new.key.scopes == old.key.scopes
    assert new.key.expires_at == pytest.approx(old.key.expires_at, abs=datetime.resolution * 1_000_000)
    rotated = store.keys.authenticate(old.secret)
    assert rotated is not None
    assert rotated.life_s is not None
    assert rotated.life_s <= 60
    store.keys.rotate("acme", old.key.id, 0)
    assert store.keys.authenticate(old.secret) is None
    assert store.keys.authenticate(new.secret) is not None


def test_the_last_use_is_written_once_a_minute(store: Store) -> None:
    new = store.keys.issue("acme")
    assert new.key.last_used_at is None

    def version() -> object:
        store.keys.authenticate(new.secret)
        with transaction(store._engine) as session:
            return session.scalar(text("SELECT xmin FROM api_keys"))

    assert version() == version()
    with transaction(store._engine) as session:
        session.execute(text("UPDATE api_keys SET last_used_at = now() - interval '61 s'"))
    version()
    (key,) = store.keys.list("acme")
    assert key.last_used_at is not None
    assert (datetime.now(UTC) - key.last_used_at).total_seconds() < 60


def test_a_locked_key_still_authenticates(store: Store) -> None:
    key = store.keys.create("acme")
    with transaction(store._engine) as session:
        session.execute(text("SELECT FROM api_keys FOR UPDATE"))
        assert store.keys.authenticate(key) is not None


def test_changes_of_keys_and_tenants_are_audited(store: Store) -> None:
    key = store.keys.issue("acme").key
    new = store.keys.rotate("acme", key.id, actor="key:0123")
    store.keys.revoke("acme", key.id)
    store.tenants.set_retention("acme", Retention(inputs_s=60, results_s=None))
    store.keys.create("globex")
    entries = store.deletions.audit_page("acme")
    assert [(entry.action, entry.subject_name, entry.actor) for entry in entries] == [
        *sorted(
            [
                (AuditAction.CREATE_TENANT, "acme", "operator"),
                (AuditAction.CREATE_KEY, key.id, "operator"),
            ],
            key=lambda one: [entry.action for entry in entries].index(one[0]),
        ),
        (AuditAction.ROTATE_KEY, key.id, "key:0123"),
        (AuditAction.REVOKE_KEY, key.id, "operator"),
        (AuditAction.SET_RETENTION, "acme", "operator"),
    ]
    assert entries[2].detail is not None
    assert entries[2].detail["replaced_by"] == new.key.id
    assert entries[-1].detail == {"inputs_s": 60, "results_s": None}


def test_the_audit_log_is_read_in_pages(store: Store) -> None:
    for _ in range(3):
        store.keys.create("acme")
    whole = store.deletions.audit_page(None)
    pages, after = [], None
    while page := store.deletions.audit_page(None, after, 2):
        pages += page
        after = page[-1].place
    assert tuple(pages) == whole
    assert len(whole) == 4


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM audit",
        "UPDATE audit SET actor = 'nobody'",
        "UPDATE audit SET at = now()",
        "UPDATE audit SET completed_at = NULL",
        "UPDATE audit SET detail = '{}'",
        "TRUNCATE audit, doomed_objects",
    ],
)
def test_the_audit_log_cannot_be_changed(store: Store, statement: str) -> None:
    store.keys.create("acme")
    with pytest.raises(DBAPIError, match="never changed"), transaction(store._engine) as session:
        session.execute(text(statement))
