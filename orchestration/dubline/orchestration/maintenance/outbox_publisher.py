"""The outbox publisher: notifies workers of rows after their transaction is committed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from dubline.orchestration.database.store import Store
    from dubline.orchestration.queue import Notifier

#: Most rows of the outbox that are published in one transaction.
PUBLISH_LIMIT: Final = 1000


def publish(store: Store, notifier: Notifier) -> None:
    """Send the notifications in the outbox; a row is deleted only after its notification was sent.

    Raises:
        BrokerUnavailableError: the rows of the current transaction stay in the outbox.
    """
    while store.outbox.publish(notifier.notify, PUBLISH_LIMIT) == PUBLISH_LIMIT:
        pass
