from __future__ import annotations

import urllib.request
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import pytest

from dubline.orchestration.errors import StorageUnavailableError, UploadMissingError, UploadSizeMismatchError
from dubline.orchestration.objects import Objects
from dubline.orchestration.settings import BucketSettings

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def key() -> str:
    return f"tests/{uuid4()}"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "video.mp4"
    path.write_bytes(b"0123456789")
    return path


def put(url: str, headers: dict[str, str], body: bytes) -> int:
    request = urllib.request.Request(url, data=body, headers=headers, method="PUT")  # noqa: S310 - our own server
    with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - our own server
        return int(answer.status)


def test_a_presigned_put_stores_the_bytes(objects: Objects, key: str, tmp_path: Path) -> None:
    right = objects.presign_put(key, "image/png", 10)
    assert put(right.url, dict(right.headers), b"0123456789") == 200
    assert objects.size_bytes(key) == 10
    assert objects.get(key, tmp_path / "copy", limit_bytes=10) == 10
    assert (tmp_path / "copy").read_bytes() == b"0123456789"


def test_a_presigned_put_signs_length_and_type(objects: Objects, key: str) -> None:
    # The test server checks no signatures; S3 refuses a request whose signed headers differ.
    signed = parse_qs(urlsplit(objects.presign_put(key, "image/png", 10).url).query)["X-Amz-SignedHeaders"]
    assert signed == ["content-length;content-type;host"]
    urls = {objects.presign_put(key, "image/png", size).url.split("Signature=")[1] for size in (10, 11)}
    assert len(urls) == 2


def test_presigned_urls_name_the_public_host(bucket: BucketSettings, key: str) -> None:
    public = Objects(bucket.model_copy(update={"public_url": "https://files.example.com"}))
    assert public.presign_put(key, "image/png", 1).url.startswith("https://files.example.com/dubline/")
    assert public.presign_get(key, "a.mp4").startswith("https://files.example.com/dubline/")


def test_a_result_url_lasts_an_hour_at_most_and_downloads_under_a_plain_name(
    objects: Objects, key: str, file: Path
) -> None:
    objects.put(file, key, "video/mp4")
    url = objects.presign_get(key, 'x"; evil\r\n.mp4', expires_s=10**6)
    assert parse_qs(urlsplit(url).query)["X-Amz-Expires"] == ["3600"]
    with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310 - our own server
        assert answer.read() == b"0123456789"
        assert answer.headers["Content-Disposition"] == 'attachment; filename="x___evil__.mp4"'


def test_nothing_under_a_key_has_no_size(objects: Objects, key: str) -> None:
    assert objects.size_bytes(key) is None


def test_getting_nothing_is_a_missing_upload(objects: Objects, key: str, tmp_path: Path) -> None:
    with pytest.raises(UploadMissingError):
        objects.get(key, tmp_path / "copy", limit_bytes=10)


def test_an_object_over_the_limit_leaves_no_file(objects: Objects, key: str, file: Path, tmp_path: Path) -> None:
    objects.put(file, key, "video/mp4")
    with pytest.raises(UploadSizeMismatchError):
        objects.get(key, tmp_path / "copy", limit_bytes=9)
    assert not (tmp_path / "copy").exists()


def test_a_key_is_never_written_over(objects: Objects, key: str, file: Path) -> None:
    objects.put(file, key, "video/mp4")
    assert objects.put(file, key, "video/mp4") == 10
    file.write_bytes(b"another video")
    with pytest.raises(StorageUnavailableError, match="PreconditionFailed"):
        objects.put(file, key, "video/mp4")
    assert objects.size_bytes(key) == 10


def test_deleting_twice_is_no_error(objects: Objects, key: str, file: Path) -> None:
    objects.put(file, key, "video/mp4")
    objects.delete(key)
    objects.delete(key)
    assert objects.size_bytes(key) is None


def test_creating_the_bucket_again_changes_nothing(objects: Objects) -> None:
    assert objects.create_bucket() is False
    objects.check()


def test_a_bucket_that_is_not_there_is_reported(bucket: BucketSettings) -> None:
    with pytest.raises(StorageUnavailableError, match="create-bucket"):
        Objects(bucket.model_copy(update={"name": "nowhere"})).check()


def test_a_profile_of_aws_that_is_gone_is_told_in_a_sentence(
    bucket: BucketSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "gone")
    with pytest.raises(StorageUnavailableError, match=r"No client .* \(gone\) could not be found"):
        Objects(bucket)


def test_a_storage_that_is_away_is_one_retryable_error(key: str, file: Path) -> None:
    away = Objects(
        BucketSettings.model_validate(
            {"name": "dubline", "endpoint_url": "http://127.0.0.1:1", "access_key": "a", "secret_key": "b"}
        )
    )
    with pytest.raises(StorageUnavailableError) as caught:
        away.put(file, key, "video/mp4")
    assert caught.value.retryable
