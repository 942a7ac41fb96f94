from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text

from dubline.orchestration.database.store.transaction import transaction
from dubline.orchestration.domain.errors import InvalidRequestError

if TYPE_CHECKING:
    from dubline.orchestration.database.store import Store


def test_a_key_authenticates_its_tenant(store: Store) -> None:
    first, second = store.keys.create("acme"), store.keys.create("acme")
    assert first != second
    assert [store.keys.authenticate(key).tenant for key in (first, second)] == ["acme", "acme"]


@pytest.mark.parametrize("key", ["", "dubline_unknown", "\x00", "ключ"])
def test_an_unknown_key_authenticates_no_caller(store: Store, key: str) -> None:
    assert store.keys.authenticate(key) is None


def test_the_key_itself_is_not_stored(store: Store) -> None:
    key = store.keys.create("acme")
    with transaction(store._engine) as session:
        assert key not in str(session.execute(text("SELECT * FROM api_keys")).all())


@pytest.mark.parametrize("name", ["", "Acme", "a b", "-a", "a" * 64, "a\n"])
def test_an_invalid_name_of_a_tenant_is_refused(store: Store, name: str) -> None:
    with pytest.raises(InvalidRequestError):
        store.keys.create(name)
