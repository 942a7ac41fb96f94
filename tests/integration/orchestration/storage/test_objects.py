from __future__ import annotations

import os
import socket
import time
import urllib.error
import urllib.request
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import pytest
from botocore.exceptions import ClientError
from pydantic import ValidationError

from dubline.orchestration.domain.errors import (
    LeaseLostError,
    StorageUnavailableError,
    UploadMissingError,
    UploadSizeMismatchError,
)
from dubline.orchestration.settings import BucketSettings
from dubline.orchestration.storage import objects as objects_module
from dubline.orchestration.storage import s3
from dubline.orchestration.storage.objects import Objects


@pytest.fixture
def key() -> str:
    return f"tests/{uuid4()}"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "video.mp4"
    path.write_bytes(b"0123456789")
    return path


def put(url: str, headers: dict[str, str], body: bytes) -> int:
    request = urllib.request.Request(url, data=body, headers=headers, method="PUT")  # noqa: S310 - a local server
    with urllib.request.urlopen(request, timeout=60) as response:  # noqa: S310 - a local server
        return int(response.status)


def test_a_presigned_put_stores_the_bytes(objects: Objects, key: str, tmp_path: Path) -> None:
    presigned = objects.presign_put(key, "image/png", 10)
    assert timedelta(minutes=59) < presigned.expires_at - datetime.now(UTC) <= timedelta(hours=1)
    assert put(presigned.url, dict(presigned.headers), b"0123456789") == 200
    assert objects.size_bytes(key) == 10
    assert objects.get(key, tmp_path / "copy", limit_bytes=10) == 10
    assert (tmp_path / "copy").read_bytes() == b"0123456789"


def test_a_presigned_put_signs_length_and_type(objects: Objects, key: str) -> None:
    # The test server checks no signatures; S3 rejects a request whose signed headers differ.
    signed = parse_qs(urlsplit(objects.presign_put(key, "image/png", 10).url).query)["X-Amz-SignedHeaders"]
    assert signed == ["content-length;content-type;host;if-none-match"]
    urls = {objects.presign_put(key, "image/png", size).url.split("Signature=")[1] for size in (10, 11)}
    assert len(urls) == 2


def test_a_presigned_put_replaces_nothing(objects: Objects, key: str, tmp_path: Path) -> None:
    presigned = objects.presign_put(key, "image/png", 10)
    assert timedelta(minutes=59) < presigned.expires_at - datetime.now(UTC) <= timedelta(hours=1)
    assert put(presigned.url, dict(presigned.headers), b"0123456789") == 200
    with pytest.raises(urllib.error.HTTPError) as refused:
        put(presigned.url, dict(presigned.headers), b"9876543210")
    with refused.value as response:
        assert response.code == 412
    objects.get(key, tmp_path / "copy", limit_bytes=10)
    assert (tmp_path / "copy").read_bytes() == b"0123456789"


def test_installations_with_prefixes_share_a_bucket(
    bucket: BucketSettings, objects: Objects, key: str, file: Path, tmp_path: Path
) -> None:
    first, second = (
        Objects(BucketSettings.model_validate(bucket.model_dump() | {"prefix": prefix})) for prefix in ("one", "two/b/")
    )
    first.put(file, key, "video/mp4")
    assert first.size_bytes(key) == 10
    assert second.size_bytes(key) is objects.size_bytes(key) is None
    presigned = second.presign_put(key, "image/png", 3)
    assert put(presigned.url, dict(presigned.headers), b"two") == 200
    with urllib.request.urlopen(second.presign_get(key, "a.mp4"), timeout=60) as response:  # noqa: S310 - local
        assert response.read() == b"two"
    assert [one.key for one in first.list(key)] == [one.key for one in second.list(key)] == [key]
    assert [one.key for one in objects.list(f"two/b/{key}")] == [f"two/b/{key}"]
    assert second.delete_many([key]) == {key}
    assert first.get(key, tmp_path / "copy", limit_bytes=10) == 10


@pytest.mark.parametrize(
    "prefix", ["uploads", "a/results/", "checkpoints/b", "..", "a/../b", "a//b", "a b", "/", "é", "x" * 201]
)
def test_a_prefix_that_another_installation_would_sweep_is_refused(bucket: BucketSettings, prefix: str) -> None:
    with pytest.raises(ValidationError):
        BucketSettings.model_validate(bucket.model_dump() | {"prefix": prefix})


def test_presigned_urls_have_the_public_host(bucket: BucketSettings, key: str) -> None:
    public = Objects(bucket.model_copy(update={"public_url": "https://files.example.com"}))
    assert public.presign_put(key, "image/png", 1).url.startswith("https://files.example.com/dubline/")
    assert public.presign_get(key, "a.mp4").startswith("https://files.example.com/dubline/")


def test_a_result_url_lasts_at_most_an_hour_and_has_a_safe_filename(objects: Objects, key: str, file: Path) -> None:
    objects.put(file, key, "video/mp4")
    url = objects.presign_get(key, 'x"; evil\r\n.mp4', expires_s=10**6)
    assert parse_qs(urlsplit(url).query)["X-Amz-Expires"] == ["3600"]
    with urllib.request.urlopen(url, timeout=60) as response:  # noqa: S310 - a local server
        assert response.read() == b"0123456789"
        assert response.headers["Content-Disposition"] == 'attachment; filename="x___evil__.mp4"'


def test_a_missing_object_has_no_size(objects: Objects, key: str) -> None:
    assert objects.size_bytes(key) is None


def test_downloading_a_missing_object_is_an_error(objects: Objects, key: str, tmp_path: Path) -> None:
    with pytest.raises(UploadMissingError):
        objects.get(key, tmp_path / "copy", limit_bytes=10)


def test_downloading_an_object_over_the_limit_leaves_no_file(
    objects: Objects, key: str, file: Path, tmp_path: Path
) -> None:
    objects.put(file, key, "video/mp4")
    with pytest.raises(UploadSizeMismatchError):
        objects.get(key, tmp_path / "copy", limit_bytes=9)
    assert not (tmp_path / "copy").exists()


def test_an_object_is_never_overwritten(objects: Objects, key: str, file: Path) -> None:
    objects.put(file, key, "video/mp4")
    assert objects.put(file, key, "video/mp4") == 10
    file.write_bytes(b"another video")
    with pytest.raises(StorageUnavailableError, match="PreconditionFailed"):
        objects.put(file, key, "video/mp4")
    assert objects.size_bytes(key) == 10


def test_a_put_that_is_refused_is_an_error_whatever_is_stored(
    objects: Objects, key: str, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    objects.put(file, key, "video/mp4")
    refused = {"Error": {"Code": "AccessDenied"}, "ResponseMetadata": {"HTTPStatusCode": 403}}

    def refuse(**_: object) -> None:
        raise ClientError(refused, "PutObject")  # type: ignore[arg-type]

    monkeypatch.setattr(objects._client, "put_object", refuse)
    with pytest.raises(StorageUnavailableError, match="refused PutObject: AccessDenied"):
        objects.put(file, key, "video/mp4")


def test_deleting_a_missing_object_counts_as_removed(
    objects: Objects, key: str, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(objects_module, "DELETE_LIMIT", 2)
    keys = frozenset(f"{key}/{number}" for number in range(5))
    for one in keys:
        objects.put(file, one, "video/mp4")
    for _ in range(2):
        assert objects.delete_many([*keys, f"{key}/never"]) == keys | {f"{key}/never"}
    assert not list(objects.list(key))


def test_an_object_that_the_storage_refuses_to_remove_is_not_reported(
    objects: Objects, monkeypatch: pytest.MonkeyPatch
) -> None:
    response = {"Errors": [{"Key": "b", "Code": "AccessDenied"}]}
    monkeypatch.setattr(objects._client, "delete_objects", lambda **_: response)
    assert objects.delete_many(["a", "b"]) == {"a"}


def test_a_listing_has_keys_sizes_and_modification_times(objects: Objects, key: str, file: Path) -> None:
    began = datetime.now(UTC) - timedelta(seconds=2)
    for name in ("b", "a", "c/d"):
        objects.put(file, f"{key}/{name}", "video/mp4")
    found = list(objects.list(f"{key}/"))
    assert [one.key.removeprefix(f"{key}/") for one in found] == ["a", "b", "c/d"]
    assert {one.size_bytes for one in found} == {10}
    assert all(began <= one.modified_at <= datetime.now(UTC) for one in found)
    assert not list(objects.list(f"{key}/z"))


def test_a_listing_fetches_all_pages(objects: Objects, key: str, file: Path) -> None:
    for number in range(5):
        objects.put(file, f"{key}/{number}", "video/mp4")
    request, requests = objects._client.list_objects_v2, []

    def request_two(**parameters: str) -> object:
        requests.append(parameters)
        return request(**parameters, MaxKeys=2)

    objects._client.list_objects_v2 = request_two  # type: ignore[assignment, method-assign]
    assert [one.key[-1] for one in objects.list(key)] == ["0", "1", "2", "3", "4"]
    assert len(requests) == 3


def test_transfers_report_progress_per_chunk(objects: Objects, key: str, tmp_path: Path) -> None:
    video, reports = tmp_path / "video", list[str]()
    video.write_bytes(os.urandom(1 << 20))
    objects.put(video, key, "video/mp4", lambda: reports.append("out"))
    objects.get(key, tmp_path / "copy", 1 << 20, lambda: reports.append("in"))
    assert (tmp_path / "copy").read_bytes() == video.read_bytes()
    assert reports.count("out") >= 16
    assert reports.count("in") >= 16


def test_a_report_that_raises_ends_a_put_and_stores_nothing(objects: Objects, key: str, tmp_path: Path) -> None:
    video, reports = tmp_path / "video", list[int]()
    video.write_bytes(bytes(1 << 20))

    def lose() -> None:
        reports.append(1)
        if len(reports) > 20:
            raise LeaseLostError

    with pytest.raises(LeaseLostError):
        objects.put(video, key, "video/mp4", lose)
    assert len(reports) == 21
    assert objects.size_bytes(key) is None
    # The client can be used again.
    assert objects.put(video, key, "video/mp4") == 1 << 20


def test_a_report_that_raises_ends_a_get(objects: Objects, key: str, file: Path, tmp_path: Path) -> None:
    objects.put(file, key, "video/mp4")

    def lose() -> None:
        raise LeaseLostError

    with pytest.raises(LeaseLostError):
        objects.get(key, tmp_path / "copy", 10, lose)


def test_a_full_disk_is_not_reported_as_a_storage_error(objects: Objects, key: str, file: Path) -> None:
    objects.put(file, key, "video/mp4")
    with pytest.raises(OSError, match="No space left"):
        objects.get(key, Path("/dev/full"), limit_bytes=10)


def test_a_silent_storage_times_out(key: str, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3, "READ_TIMEOUT_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        host, port = silent.getsockname()
        settings = {"name": "dubline", "endpoint_url": f"http://{host}:{port}", "access_key": "a", "secret_key": "b"}
        unavailable = Objects(BucketSettings.model_validate(settings))
        began = time.monotonic()
        with pytest.raises(StorageUnavailableError):
            unavailable.put(file, key, "video/mp4")
        with pytest.raises(StorageUnavailableError):
            list(unavailable.list())
    assert time.monotonic() - began < 10


def test_creating_the_bucket_twice_changes_nothing(objects: Objects) -> None:
    assert objects.create_bucket() is False
    objects.check()


@pytest.mark.parametrize("region", ["us-east-1", "eu-central-1"])
def test_a_bucket_is_created_in_its_region(bucket: BucketSettings, region: str) -> None:
    objects = Objects(bucket.model_copy(update={"name": f"new-{uuid4()}", "region": region}))
    assert [objects.create_bucket() for _ in range(2)] == [True, False]
    objects.check()


def test_a_missing_bucket_is_reported(bucket: BucketSettings) -> None:
    with pytest.raises(StorageUnavailableError, match="create-bucket"):
        Objects(bucket.model_copy(update={"name": "nowhere"})).check()


def test_an_unknown_aws_profile_is_reported_in_one_sentence(
    bucket: BucketSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "gone")
    with pytest.raises(StorageUnavailableError, match=r"cannot be created: .* \(gone\) could not be found"):
        Objects(bucket)


def test_an_unavailable_storage_is_a_retryable_error(key: str, file: Path) -> None:
    unavailable = Objects(
        BucketSettings.model_validate(
            {"name": "dubline", "endpoint_url": "http://127.0.0.1:1", "access_key": "a", "secret_key": "b"}
        )
    )
    with pytest.raises(StorageUnavailableError) as caught:
        unavailable.put(file, key, "video/mp4")
    assert caught.value.retryable
