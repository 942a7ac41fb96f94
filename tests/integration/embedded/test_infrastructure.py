from __future__ import annotations

import os
import stat
import tempfile
from typing import TYPE_CHECKING

import boto3
import psycopg
import pytest
import redis

from dubline.embedded.errors import EmbeddedError
from dubline.embedded.servers import database
from dubline.embedded.stack import INFRASTRUCTURE, Stack

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    stack = Stack()
    try:
        stack.start(only=INFRASTRUCTURE)
        yield stack
    finally:
        stack.stop()


def url(stack: Stack) -> str:
    return stack.environ["DUBLINE_DATABASE_URL"].replace("+psycopg", "")


def test_the_database_is_a_real_postgres_18(stack: Stack) -> None:
    with psycopg.connect(url(stack)) as connection:
        assert connection.info.server_version // 10_000 == 18
        assert connection.execute("show server_encoding").fetchone() == ("UTF8",)


def test_the_database_requires_its_password(stack: Stack) -> None:
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(url(stack), password="guess").close()


def test_the_broker_is_durable_and_never_evicts(stack: Stack) -> None:
    with redis.Redis.from_url(stack.environ["DUBLINE_BROKER_URL"]) as broker:
        assert broker.config_get("appendonly")["appendonly"] == "yes"
        assert broker.config_get("maxmemory-policy")["maxmemory-policy"] == "noeviction"


def test_the_bucket_implements_s3(stack: Stack) -> None:
    bucket = boto3.client(
        "s3",
        endpoint_url=stack.environ["DUBLINE_BUCKET_ENDPOINT_URL"],
        region_name=stack.environ["DUBLINE_BUCKET_REGION"],
        aws_access_key_id=stack.environ["DUBLINE_BUCKET_ACCESS_KEY"],
        aws_secret_access_key=stack.environ["DUBLINE_BUCKET_SECRET_KEY"],
    )
    bucket.create_bucket(Bucket="test")
    bucket.put_object(Bucket="test", Key="a/b", Body=b"bytes")
    assert bucket.get_object(Bucket="test", Key="a/b")["Body"].read() == b"bytes"
    bucket.close()


def test_the_folders_are_private(stack: Stack) -> None:
    for name in ("logs", "scratch", "database"):
        assert stat.S_IMODE((stack.folder / name).stat().st_mode) == 0o700
    assert not stat.S_IMODE(stack.folder.stat().st_mode) & 0o066
    assert os.environ.get("TMPDIR") != stack.environ["TMPDIR"]
    assert stack.environ["TMPDIR"].startswith(str(stack.folder))


def test_a_restarted_database_keeps_its_rows(stack: Stack) -> None:
    with psycopg.connect(url(stack)) as connection:
        connection.execute("create table kept (word text)")
        connection.execute("insert into kept values ('once')")
    for end in (lambda: None, stack.children["database"].kill):
        end()
        stack.restart("database")
        with psycopg.connect(url(stack)) as connection:
            assert connection.execute("select word from kept").fetchall() == [("once",)]


def test_a_killed_database_is_not_ready(stack: Stack) -> None:
    child = stack.children["database"]
    child.kill()
    assert child.part.is_ready is not None
    assert not child.part.is_ready()
    stack.restart("database")
    assert child.part.is_ready()


def test_a_restarted_broker_keeps_its_messages(stack: Stack) -> None:
    with redis.Redis.from_url(stack.environ["DUBLINE_BROKER_URL"]) as broker:
        broker.rpush("render", "message")
        stack.children["broker"].kill()
        stack.restart("broker")
        assert broker.lrange("render", 0, -1) == [b"message"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs PostgreSQL as another user")
def test_root_can_run_postgres_from_a_private_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    accessible = database.is_accessible_to_others
    monkeypatch.setattr(database, "is_accessible_to_others", lambda path: path.name != "postgres" and accessible(path))
    stack = Stack()
    try:
        stack.start(only={"initdb", "database"})
        assert stack.children["database"].part.argv[0].startswith(str(stack.folder))
        with psycopg.connect(url(stack)) as connection:
            assert connection.execute("select 1").fetchone() == (1,)
    finally:
        stack.stop()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs PostgreSQL as another user")
def test_a_private_temporary_folder_of_root_is_reported(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    tmp_path.chmod(0o700)
    stack = Stack()
    try:
        with pytest.raises(EmbeddedError, match="TMPDIR"):
            stack.start()
    finally:
        stack.stop()
    assert not list(tmp_path.iterdir())
