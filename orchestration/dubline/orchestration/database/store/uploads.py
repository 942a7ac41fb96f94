"""Uploads of tenants, and the leases of their probes."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from itertools import product
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID, uuid4

from sqlalchemy import case, func, insert, null, select, text, update

from dubline.orchestration.database.rows import TenantRow, UploadRow
from dubline.orchestration.database.store import idempotency, listing
from dubline.orchestration.database.store.accounts import holdings
from dubline.orchestration.database.store.fairness import order_keys
from dubline.orchestration.database.store.fairness.next_row import advance_clock, next_row
from dubline.orchestration.database.store.outbox import COUNT_LIMIT, PROBE, notify
from dubline.orchestration.database.store.records import upload_of
from dubline.orchestration.database.store.transaction import transaction
from dubline.orchestration.database.store.unconfirmed import UnconfirmedClaims
from dubline.orchestration.domain.cost import probe_cost_s
from dubline.orchestration.domain.errors import (
    AttemptsExhaustedError,
    DatabaseUnavailableError,
    LeaseLostError,
    NotFoundError,
)
from dubline.orchestration.domain.fairness import Queue
from dubline.orchestration.domain.quotas import UNLIMITED, TenantLimits, check_upload
from dubline.orchestration.domain.uploads import (
    LOSS_BUDGET,
    UNUSED_S,
    ProbeLease,
    Upload,
    UploadFacts,
    UploadKind,
    UploadState,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Engine
    from sqlalchemy.orm import Session

    from dubline.orchestration.domain.consent import Consent
    from dubline.orchestration.domain.idempotency import Request
    from dubline.orchestration.domain.listing import Page, UploadFilter, Window

_WAITS: Final = "uploads.state = 'probing' AND uploads.lease_token IS NULL"
_DUE: Final = f"{_WAITS} AND uploads.probe_after <= now()"
_NEXT: Final = next_row(
    "uploads", f"{_WAITS} AND uploads.probe_attempts = 0", f"{_DUE} AND uploads.probe_attempts > 0", "probe_after"
)
_IS_NEXT: Final = text(f"uploads.id = (WITH {_NEXT} SELECT id FROM next_row)")  # noqa: S608 - our own text
#: Each part is a range of the index that claims read, too.
_COUNT_WAITING: Final = text(f"""
SELECT count(*) FROM (
    (SELECT FROM uploads WHERE {_DUE} AND probe_attempts = 0 ORDER BY order_key LIMIT {COUNT_LIMIT})
    UNION ALL (SELECT FROM uploads WHERE {_DUE} AND probe_attempts > 0 ORDER BY probe_after LIMIT {COUNT_LIMIT})
) AS waiting
""")  # noqa: S608 - our own text
_ADVANCE_CLOCK: Final = text(advance_clock(Queue.PROBE, "CAST(:order_key AS float8)"))
_UNLEASED: Final[dict[str, Any]] = {"lease_token": None, "lease_expires_at": None, "lease_worker": None}


class Uploads:
    """Uploads and their probes."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._unconfirmed = UnconfirmedClaims(self._release_claims)

    def insert(self, tenant: str, kind: UploadKind, content_type: str, size_bytes: int) -> Upload:
        """Insert an upload; it is pending until it is completed."""
        return self.insert_once(tenant, kind, content_type, size_bytes, None)[0]

    def insert_once(  # noqa: PLR0913, PLR0917 - the parts of a request
        self,
        tenant: str,
        kind: UploadKind,
        content_type: str,
        size_bytes: int,
        request: Request | None,
        limits: TenantLimits = UNLIMITED,
        consent: Consent | None = None,
        unused_s: int = UNUSED_S,
    ) -> tuple[Upload, bool]:
        """Insert an upload, or find the one that an earlier call with the same request has inserted.

        Args:
            tenant: owner of the upload.
            kind: role of the file.
            content_type: as declared.
            size_bytes: as declared.
            request: idempotency key of the request; None: without one.
            limits: limits of the tenant.
            consent: statement of the person in a portrait.
            unused_s: seconds for which it is kept while no job names it.

        Returns:
            The upload, and whether an earlier call has inserted it.

        Raises:
            QuotaExceededError: the tenant would store more than it may.
            IdempotencyKeyReusedError: the key was used with another request.
        """
        kept_s = select(TenantRow.inputs_s).where(TenantRow.name == tenant).scalar_subquery()
        new = {
            "id": uuid4(),
            "tenant": tenant,
            "kind": kind,
            "content_type": content_type,
            "size_bytes": size_bytes,
            "unused_s": unused_s,
            "review_at": func.now() + func.make_interval(0, 0, 0, 0, 0, 0, func.least(kept_s, unused_s)),
        }
        if consent is not None:
            new |= {
                "consent_statement": consent.statement,
                "consent_subject": consent.subject,
                "consent_obtained_at": consent.obtained_at,
            }
        if request is not None:
            new |= {"idempotency_key": request.key, "request_sha256": request.sha256}
        return idempotency.once(
            UploadRow,
            request,
            find=lambda: self._earlier(tenant, request),
            create=lambda: self._insert(new, limits),
        )

    def _earlier(self, tenant: str, request: Request | None) -> Upload | None:
        with transaction(self._engine) as session:
            row = idempotency.earlier(session, UploadRow, tenant, request)
            return None if row is None else upload_of(row)

    def _insert(self, new: dict[str, Any], limits: TenantLimits) -> Upload:
        with transaction(self._engine) as session:
            if limits is not UNLIMITED:
                check_upload(holdings.lock(session, new["tenant"]), new["size_bytes"], limits)
            return upload_of(session.scalars(insert(UploadRow).values(new).returning(UploadRow)).one())

    def page(self, tenant: str, which: UploadFilter, window: Window) -> Page[Upload]:
        """Read a page of the uploads of a tenant, newest first."""
        hashed = [] if which.sha256 is None else [UploadRow.sha256 == which.sha256]
        kinds = UploadKind if which.kind is None else [which.kind]
        ranges = [
            (UploadRow.kind == kind, UploadRow.state == state, *hashed)
            for kind, state in product(kinds, which.states or UploadState)
        ]
        with transaction(self._engine) as session:
            found = listing.rows(session, UploadRow, tenant, window, ranges)
            return listing.page_of(found, window, upload_of)

    def get(self, tenant: str, upload_id: UUID) -> Upload:
        """Read an upload.

        Raises:
            NotFoundError: the tenant has no such upload.
        """
        with transaction(self._engine) as session:
            return _read(session, tenant, upload_id)

    def mark_probing(self, tenant: str, upload_id: UUID) -> Upload:
        """Make a pending upload claimable by probers; any other is not changed.

        Raises:
            NotFoundError: the tenant has no such upload.
        """
        with transaction(self._engine) as session:
            pending = select(UploadRow.size_bytes).where(*_pending(tenant, upload_id)).with_for_update(key_share=True)
            size_bytes = session.scalar(pending)
            if size_bytes is not None:
                (key,) = order_keys.assign(session, tenant, Queue.PROBE, [probe_cost_s(size_bytes)])
                values = {"state": UploadState.PROBING, "probe_after": func.now(), "order_key": key}
                session.execute(update(UploadRow).where(UploadRow.id == upload_id).values(values))
                notify(session, PROBE, 1)
            return _read(session, tenant, upload_id)

    def reject_pending(self, tenant: str, upload_id: UUID, code: str, detail: str) -> Upload:
        """Reject a pending upload without a probe; any other is not changed.

        Raises:
            NotFoundError: the tenant has no such upload.
        """
        with transaction(self._engine) as session:
            session.execute(update(UploadRow).where(*_pending(tenant, upload_id)).values(_rejected(code, detail)))
            return _read(session, tenant, upload_id)

    def waiting_count(self) -> int:
        """Count the uploads that a prober could claim now, up to `COUNT_LIMIT` of new ones and of repeated ones."""
        with transaction(self._engine) as session:
            return session.scalar(_COUNT_WAITING) or 0

    def claim(self, worker: str, lease_s: float) -> ProbeLease | None:
        """Claim the upload with the smallest order key; None if none waits.

        Uploads that are probed again, whose keys are smaller in general, wait for the end of their pause.

        Args:
            worker: name of the prober, for operators.
            lease_s: seconds until the lease expires unless it is renewed.
        """
        self._unconfirmed.release()
        token = uuid4()
        with self._unconfirmed_on_error(token), transaction(self._engine) as session:
            row = session.scalar(
                update(UploadRow)
                .where(_IS_NEXT)
                .values(
                    probe_attempts=UploadRow.probe_attempts + 1,
                    lease_token=token,
                    lease_expires_at=func.now() + timedelta(seconds=lease_s),
                    lease_worker=worker,
                )
                .returning(UploadRow)
            )
            if row is None or row.lease_expires_at is None:
                return None
            session.execute(_ADVANCE_CLOCK, {"order_key": row.order_key})
            return ProbeLease(
                upload=upload_of(row),
                attempt=row.probe_attempts,
                token=token,
                expires_at=row.lease_expires_at,
            )

    def renew(self, lease: ProbeLease, lease_s: float) -> ProbeLease:
        """Extend the lease to `lease_s` seconds from now.

        Raises:
            LeaseLostError: the token is not valid.
        """
        row = self._write(lease, {"lease_expires_at": func.now() + timedelta(seconds=lease_s)})
        with suppress(DatabaseUnavailableError):
            self._unconfirmed.release()
        return replace(lease, expires_at=row.lease_expires_at or lease.expires_at)

    def accept(self, lease: ProbeLease, facts: UploadFacts) -> Upload:
        """Store the facts found by the probe; the upload is ready.

        Raises:
            LeaseLostError: the token is not valid; nothing was written.
        """
        found: dict[str, Any] = {
            "state": UploadState.READY,
            "finalized_at": func.now(),
            "media_type": facts.media_type,
            "sha256": facts.sha256,
            "duration_s": facts.duration_s,
            "width_px": facts.width_px,
            "height_px": facts.height_px,
            "face_box": None if facts.face_box is None else list(facts.face_box),
            "faces": [one.as_json() for one in facts.faces] or null(),
        }
        return upload_of(self._write(lease, found | _UNLEASED))

    def reject(self, lease: ProbeLease, code: str, detail: str) -> Upload:
        """Store why the file cannot be used; the upload is rejected.

        Raises:
            LeaseLostError: the token is not valid; nothing was written.
        """
        return upload_of(self._write(lease, _rejected(code, detail) | _UNLEASED))

    def retry(self, lease: ProbeLease, delay_s: float) -> Upload:
        """Return the upload after a transient failure; it can be claimed again in `delay_s` seconds.

        Transient failures are not limited.

        Raises:
            LeaseLostError: the token is not valid; nothing was written.
        """
        return upload_of(self._write(lease, {"probe_after": func.now() + timedelta(seconds=delay_s)} | _UNLEASED))

    def release(self, lease: ProbeLease) -> Upload:
        """Return the upload because this prober shuts down; the attempt is not counted.

        Raises:
            LeaseLostError: the token is not valid; nothing was written.
        """
        return upload_of(self._write(lease, {"probe_attempts": UploadRow.probe_attempts - 1} | _UNLEASED))

    def rescue_expired(self) -> int:
        """Rescue uploads whose lease expired; one that has lost `LOSS_BUDGET` probers is rejected.

        Returns:
            Number of rescued uploads.
        """
        losses = UploadRow.probe_losses + 1
        spent = losses >= LOSS_BUDGET
        ended = _rejected(
            AttemptsExhaustedError.code,
            f"Checking the file failed {LOSS_BUDGET} times without a result. Convert the file and send it again.",
        )
        with transaction(self._engine) as session:
            rescued = session.scalars(
                update(UploadRow)
                .where(UploadRow.lease_token.is_not(None), UploadRow.lease_expires_at < func.now())
                .values({name: case((spent, value), else_=getattr(UploadRow, name)) for name, value in ended.items()})
                .values(_UNLEASED | {"probe_losses": losses})
                .returning(UploadRow.id)
            )
            count = len(rescued.all())
            notify(session, PROBE, count)
            return count

    @contextmanager
    def _unconfirmed_on_error(self, token: UUID) -> Iterator[None]:
        try:
            yield
        except DatabaseUnavailableError:
            self._unconfirmed.add(token)
            raise

    def _release_claims(self, tokens: list[UUID]) -> None:
        released = {"probe_attempts": UploadRow.probe_attempts - 1} | _UNLEASED
        with transaction(self._engine) as session:
            session.execute(update(UploadRow).where(UploadRow.lease_token.in_(tokens)).values(released))

    def _write(self, lease: ProbeLease, values: dict[str, Any]) -> UploadRow:
        with transaction(self._engine) as session:
            row: UploadRow | None = session.scalar(
                update(UploadRow)
                .where(UploadRow.id == lease.upload.id, UploadRow.lease_token == lease.token)
                .values(values)
                .returning(UploadRow)
            )
            if row is None:
                raise LeaseLostError
            return row


def _read(session: Session, tenant: str, upload_id: UUID) -> Upload:
    row = session.scalar(select(UploadRow).where(UploadRow.id == upload_id, UploadRow.tenant == tenant))
    if row is None:
        raise NotFoundError(f"There is no upload {upload_id}.")
    return upload_of(row)


def _pending(tenant: str, upload_id: UUID) -> tuple[Any, ...]:
    return UploadRow.id == upload_id, UploadRow.tenant == tenant, UploadRow.state == UploadState.PENDING


def _rejected(code: str, detail: str) -> dict[str, Any]:
    return {
        "state": UploadState.REJECTED,
        "finalized_at": func.now(),
        "error_code": code,
        "error_detail": detail,
    }
