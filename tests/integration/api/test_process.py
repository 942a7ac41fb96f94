from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

import httpx2
from tests.forks import PYTHON
from tests.integration.waiting import wait_until

from dubline.orchestration.queue import RENDER

if TYPE_CHECKING:
    from pathlib import Path

    from tests.forks import Forks
    from tests.integration.api.conftest import Prober

    from dubline.orchestration.database.store import Store

CLOSING = {"Connection": "close", "Content-Type": "application/json"}
COMMAND = [*PYTHON, "dubline.api"]


def test_the_process_serves_without_a_broker_and_stops_on_a_signal(
    environment: dict[str, str], tmp_path: Path, store: Store, prober: Prober, key: str
) -> None:
    row = {"portrait_upload_id": prober.ready("portrait"), "speech_upload_id": prober.ready("speech")}
    store.outbox.publish(lambda _: None)
    url = f"http://127.0.0.1:{environment['DUBLINE_API_PORT']}"

    def is_ready() -> bool:
        try:
            return http.get(f"{url}/health/ready").status_code == 200
        except httpx2.TransportError:
            return False

    with (
        # One client, because creating a TLS context takes more time than the process needs to start.
        httpx2.Client() as http,
        (tmp_path / "log").open("w+") as log,
        subprocess.Popen(COMMAND, env=environment, stderr=log) as process,
    ):
        try:
            wait_until(is_ready, within_s=300)
            keyed = {"Authorization": f"Bearer {key}"}
            huge = http.post(f"{url}/v1/batches", content=b"[" * 11_000_000, headers=keyed | CLOSING)
            assert huge.json()["code"] == "body_too_large"
            accepted = http.post(f"{url}/v1/jobs", json=row, headers=keyed)
            assert accepted.status_code == 201
        finally:
            process.terminate()
            assert process.wait(timeout=60) == 0
        log.seek(0)
        events = [json.loads(line) for line in log]
    answered = [event for event in events if event["event"] == "request_answered"]
    assert {event["path"] for event in answered} == {"/health/ready", "/v1/batches", "/v1/jobs"}
    published: dict[str, int] = {}
    store.outbox.publish(published.update)
    assert published == {RENDER: 1}


def test_a_missing_setting_is_reported_in_one_line(environment: dict[str, str], forks: Forks) -> None:
    del environment["DUBLINE_DATABASE_URL"]
    ended = forks.run(COMMAND, environment, 120)
    assert ended.returncode == 2
    message = "the environment variable DUBLINE_DATABASE_URL is not set."
    assert ended.stderr == f"dubline: {message}\n"


def test_an_unknown_aws_profile_is_reported_in_one_line(environment: dict[str, str], forks: Forks) -> None:
    environment["AWS_PROFILE"] = "gone"
    ended = forks.run(COMMAND, environment, 120)
    assert ended.returncode == 1
    assert "(gone) could not be found" in ended.stderr
    assert ended.stderr.count("\n") == 1
