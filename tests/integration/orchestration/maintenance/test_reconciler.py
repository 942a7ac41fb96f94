from __future__ import annotations

from typing import TYPE_CHECKING

from tests.integration.orchestration.rows import column

from dubline.orchestration.database.store.predictions import SUM_FROM
from dubline.orchestration.domain.uploads import UploadKind
from dubline.orchestration.maintenance.reconciler import reconcile
from dubline.orchestration.queue import PROBE_QUEUE, RENDER_QUEUE, Notifier

if TYPE_CHECKING:
    from tests.integration.orchestration.conftest import JobFactory

    from dubline.orchestration.database.store import Store


def queue_lengths(notifier: Notifier) -> tuple[int, int]:
    return notifier.queue_length(RENDER_QUEUE), notifier.queue_length(PROBE_QUEUE)


def test_unclaimed_rows_are_notified_once_until_a_message_is_consumed(
    store: Store, factory: JobFactory, notifier: Notifier
) -> None:
    factory.job()
    factory.probing(UploadKind.SPEECH)
    reconcile(store, notifier)
    reconcile(store, notifier)
    assert queue_lengths(notifier) == (1, 1)


def test_without_claimable_rows_no_notification_is_sent(store: Store, notifier: Notifier) -> None:
    reconcile(store, notifier)
    assert queue_lengths(notifier) == (0, 0)


def test_many_changes_of_the_waiting_work_are_summed_up(store: Store, factory: JobFactory, notifier: Notifier) -> None:
    for _ in range(SUM_FROM):
        factory.job()
    assert column(store, "SELECT count(*) FROM waiting_work") == [SUM_FROM]
    reconcile(store, notifier)
    assert column(store, "SELECT count(*) FROM waiting_work") == [1]
