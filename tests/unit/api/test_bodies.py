from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import uuid4

import anyio
import pytest
from starlette.exceptions import HTTPException
from starlette.requests import Request

from dubline.api import bodies
from dubline.api.bodies import LARGE_BODIES, SMALL_BODY_BYTES
from dubline.api.schemas.batches import BatchRequest
from dubline.api.schemas.jobs import JobRequest
from dubline.orchestration.domain.errors import BusyError
from dubline.orchestration.settings import LimitSettings

if TYPE_CHECKING:
    from starlette.types import Message, Receive

    from dubline.api.schemas.fields import RequestModel

LIMITS = LimitSettings()
JOB = f'{{"portrait_upload_id": "{uuid4()}", "speech_upload_id": "{uuid4()}"}}'.encode()
BATCH = b'{"jobs": [' + JOB + b"]}"


def sent(*chunks: bytes) -> Receive:
    left = list(chunks)

    async def receive() -> Message:
        return {"type": "http.request", "body": left.pop(0), "more_body": bool(left)}

    return receive


async def read(model: type[RequestModel], receive: Receive, tenant: str = "acme") -> RequestModel | None:
    scope: dict[str, Any] = {"type": "http", "state": {"tenant": tenant}}
    return await bodies._read(Request(scope, receive), model, LIMITS)


@pytest.mark.parametrize("excess", [0, 1])
def test_a_request_without_rows_has_a_small_body(excess: int) -> None:
    padded = JOB.ljust(SMALL_BODY_BYTES + excess)

    async def run() -> None:
        assert await read(BatchRequest, sent(BATCH.ljust(len(padded)))) is not None
        if not excess:
            assert isinstance(await read(JobRequest, sent(padded)), JobRequest)
            return
        with pytest.raises(HTTPException) as caught:
            await read(JobRequest, sent(padded[:9], padded[9:]))
        assert caught.value.status_code == 413

    anyio.run(run)


async def never() -> Message:
    await anyio.sleep_forever()
    raise AssertionError


def test_a_body_that_does_not_arrive_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "BODY_S", 0.01)

    async def run() -> None:
        with pytest.raises(HTTPException) as caught:
            await read(JobRequest, never)
        assert caught.value.status_code == 408
        assert caught.value.headers == {"Connection": "close"}

    anyio.run(run)
    assert not bodies._reading


def test_a_tenant_sends_few_bodies_with_rows_at_once() -> None:
    async def run() -> None:
        arrived = anyio.Event()

        def slow(body: bytes) -> Receive:
            async def receive() -> Message:
                await arrived.wait()
                return {"type": "http.request", "body": body, "more_body": False}

            return receive

        async with anyio.create_task_group() as group:
            for _ in range(LARGE_BODIES):
                group.start_soon(read, BatchRequest, slow(BATCH))
                group.start_soon(read, JobRequest, slow(JOB))
            await anyio.wait_all_tasks_blocked()
            with pytest.raises(BusyError):
                await read(BatchRequest, sent(BATCH))
            assert await read(JobRequest, sent(JOB)) is not None
            assert await read(BatchRequest, sent(BATCH), "globex") is not None
            arrived.set()
        assert await read(BatchRequest, sent(BATCH)) is not None

    anyio.run(run)
    assert not bodies._reading
