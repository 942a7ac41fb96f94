from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from dubline.orchestration.domain.errors import BrokerUnavailableError, UploadNotReadyError
from dubline.orchestration.domain.uploads import UploadKind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.integration.orchestration.conftest import JobFactory

    from dubline.orchestration.database.store import Store

EXPIRED_S = -1.0
RENDER, PROBE = "dubline.render", "dubline.probe"


def sent(store: Store) -> dict[str, int]:
    """Publish all notifications; return their counts by task."""
    seen: dict[str, int] = {}
    store.outbox.publish(seen.update)
    return seen


@pytest.fixture
def published(store: Store, factory: JobFactory) -> JobFactory:
    """A job factory whose notifications are published."""
    sent(store)
    return factory


def test_an_empty_outbox_sends_nothing(store: Store) -> None:
    assert not store.outbox.has_any()
    assert store.outbox.publish(pytest.fail) == 0


def test_an_outbox_has_notifications_until_they_are_sent(store: Store, published: JobFactory) -> None:
    published.job()
    assert store.outbox.has_any()
    sent(store)
    assert not store.outbox.has_any()


def test_each_way_to_become_claimable_inserts_a_notification(store: Store, published: JobFactory) -> None:
    published.job()
    assert sent(store) == {RENDER: 1}
    rows = [published.new(), published.new(), published.new(portrait=uuid4())]
    store.batches.insert("acme", rows, "key", "hash")
    assert sent(store) == {RENDER: 2}
    store.batches.insert("acme", rows, "key", "hash")
    assert sent(store) == {}
    lease = store.leases.claim("worker", 10)
    assert lease is not None
    store.leases.release(lease)
    assert sent(store) == {RENDER: 1}
    store.leases.claim("lost", EXPIRED_S)
    store.leases.rescue_expired()
    assert sent(store) == {RENDER: 1}


def test_a_completed_upload_inserts_one_notification(store: Store, published: JobFactory) -> None:
    upload = published.probing(UploadKind.SPEECH)
    assert sent(store) == {PROBE: 1}
    store.uploads.mark_probing("acme", upload.id)
    store.uploads.reject_pending("acme", published.pending(UploadKind.SPEECH).id, "x", "y")
    assert sent(store) == {}
    store.uploads.claim("lost", EXPIRED_S)
    store.uploads.rescue_expired()
    assert sent(store) == {PROBE: 1}


def test_a_notification_that_was_not_committed_is_not_sent(store: Store, published: JobFactory) -> None:
    probing = published.probing(UploadKind.SPEECH)
    sent(store)
    with pytest.raises(UploadNotReadyError):
        store.batches.insert("acme", [published.new(), published.new(speech=probing.id)], None, "hash")
    assert sent(store) == {}


def test_notifications_are_kept_while_the_broker_is_unavailable(store: Store, published: JobFactory) -> None:
    published.job()

    def broken(_counts: Mapping[str, int]) -> None:
        raise BrokerUnavailableError

    with pytest.raises(BrokerUnavailableError):
        store.outbox.publish(broken)
    assert sent(store) == {RENDER: 1}


def test_two_concurrent_publishers_send_nothing_twice(store: Store, published: JobFactory) -> None:
    published.job()
    sending, proceed = Event(), Event()

    def slow(_counts: Mapping[str, int]) -> None:
        sending.set()
        assert proceed.wait(60)

    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(store.outbox.publish, slow)
        assert sending.wait(60)
        published.job()
        assert sent(store) == {RENDER: 1}
        proceed.set()
        assert first.result() == 1
    assert sent(store) == {}


def test_the_oldest_notifications_are_sent_first(store: Store, published: JobFactory) -> None:
    for _ in range(3):
        published.job()
    seen: list[Mapping[str, int]] = []
    assert store.outbox.publish(seen.append, limit=2) == 2
    assert store.outbox.publish(seen.append, limit=2) == 1
    assert seen == [{RENDER: 2}, {RENDER: 1}]
