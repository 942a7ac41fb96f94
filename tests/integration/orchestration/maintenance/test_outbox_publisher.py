from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from dubline.orchestration.domain.errors import BrokerUnavailableError
from dubline.orchestration.domain.uploads import UploadKind
from dubline.orchestration.maintenance import outbox_publisher
from dubline.orchestration.queue import PROBE_QUEUE, RENDER_QUEUE, Waker, create_app

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.integration.orchestration.conftest import JobFactory

    from dubline.orchestration.database.store import Store

SENDER = """
import os, signal, sys
from uuid import UUID
from dubline.orchestration.domain.jobs import NewJob
from dubline.orchestration.settings import DatabaseSettings
from dubline.orchestration.database.store import Store
portrait, speech = map(UUID, sys.argv[1:])
store = Store.connect(DatabaseSettings.read())
store.jobs.insert("acme", NewJob(portrait_upload_id=portrait, speech_upload_id=speech))
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def dead_waker() -> Iterator[Waker]:
    waker = Waker(create_app("redis://127.0.0.1:1/0"))
    yield waker
    waker.close()


def waiting(waker: Waker) -> tuple[int, int]:
    return waker.waiting(RENDER_QUEUE), waker.waiting(PROBE_QUEUE)


def test_a_commit_is_published_although_its_process_died(
    store: Store, factory: JobFactory, waker: Waker, environment: dict[str, str]
) -> None:
    outbox_publisher.publish(store, waker)
    before = waiting(waker)
    ids = [str(factory.portrait.id), str(factory.speech.id)]
    died = subprocess.run([sys.executable, "-c", SENDER, *ids], env=environment, check=False, timeout=60)
    assert died.returncode == -9
    assert waiting(waker) == before
    outbox_publisher.publish(store, waker)
    assert waiting(waker) == (before[0] + 1, before[1])
    outbox_publisher.publish(store, waker)
    assert waiting(waker) == (before[0] + 1, before[1])


def test_what_a_dead_broker_did_not_take_is_delivered_later(
    store: Store, factory: JobFactory, waker: Waker, dead_waker: Waker
) -> None:
    outbox_publisher.publish(store, waker)
    before = waiting(waker)
    factory.job()
    factory.probing(UploadKind.SPEECH)
    for _ in range(2):
        with pytest.raises(BrokerUnavailableError):
            outbox_publisher.publish(store, dead_waker)
    outbox_publisher.publish(store, waker)
    assert waiting(waker) == (before[0] + 1, before[1] + 1)


def test_a_long_outbox_is_published_in_one_turn(
    store: Store, factory: JobFactory, waker: Waker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox_publisher, "PUBLISH_LIMIT", 2)
    for _ in range(5):
        factory.job()
    outbox_publisher.publish(store, waker)
    assert waker.waiting(RENDER_QUEUE) == 5


def test_rows_that_nobody_claimed_are_told_again(store: Store, factory: JobFactory, waker: Waker) -> None:
    factory.job()
    factory.probing(UploadKind.SPEECH)
    outbox_publisher.reconcile(store, waker)
    outbox_publisher.reconcile(store, waker)
    assert waiting(waker) == (1, 1)


def test_where_there_is_nothing_to_do_nobody_is_woken(store: Store, waker: Waker) -> None:
    outbox_publisher.publish(store, waker)
    outbox_publisher.reconcile(store, waker)
    assert waiting(waker) == (0, 0)
