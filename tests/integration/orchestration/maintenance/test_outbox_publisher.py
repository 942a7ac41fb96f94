from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from dubline.orchestration.domain.errors import BrokerUnavailableError
from dubline.orchestration.domain.uploads import UploadKind
from dubline.orchestration.maintenance import outbox_publisher
from dubline.orchestration.queue import PROBE_QUEUE, RENDER_QUEUE, Notifier, create_app

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
def unreachable() -> Iterator[Notifier]:
    notifier = Notifier(create_app("redis://127.0.0.1:1/0"))
    yield notifier
    notifier.close()


def queue_lengths(notifier: Notifier) -> tuple[int, int]:
    return notifier.queue_length(RENDER_QUEUE), notifier.queue_length(PROBE_QUEUE)


def test_a_row_is_published_although_its_sender_was_killed_after_commit(
    store: Store, factory: JobFactory, notifier: Notifier, environment: dict[str, str]
) -> None:
    outbox_publisher.publish(store, notifier)
    before = queue_lengths(notifier)
    ids = [str(factory.portrait.id), str(factory.speech.id)]
    sender = subprocess.run([sys.executable, "-c", SENDER, *ids], env=environment, check=False, timeout=60)
    assert sender.returncode == -9
    assert queue_lengths(notifier) == before
    outbox_publisher.publish(store, notifier)
    assert queue_lengths(notifier) == (before[0] + 1, before[1])
    outbox_publisher.publish(store, notifier)
    assert queue_lengths(notifier) == (before[0] + 1, before[1])


def test_rows_stay_in_the_outbox_while_the_broker_is_unavailable(
    store: Store, factory: JobFactory, notifier: Notifier, unreachable: Notifier
) -> None:
    outbox_publisher.publish(store, notifier)
    before = queue_lengths(notifier)
    factory.job()
    factory.probing(UploadKind.SPEECH)
    for _ in range(2):
        with pytest.raises(BrokerUnavailableError):
            outbox_publisher.publish(store, unreachable)
    outbox_publisher.publish(store, notifier)
    assert queue_lengths(notifier) == (before[0] + 1, before[1] + 1)


def test_a_long_outbox_is_published_in_one_run(
    store: Store, factory: JobFactory, notifier: Notifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox_publisher, "PUBLISH_LIMIT", 2)
    for _ in range(5):
        factory.job()
    outbox_publisher.publish(store, notifier)
    assert notifier.queue_length(RENDER_QUEUE) == 5


def test_an_empty_outbox_sends_no_notification(store: Store, notifier: Notifier) -> None:
    outbox_publisher.publish(store, notifier)
    assert queue_lengths(notifier) == (0, 0)
