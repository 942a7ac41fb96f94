"""The bucket: transfers, presigned URLs, listing and deletion of objects."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from botocore.exceptions import ClientError

from dubline.orchestration.domain.errors import StorageUnavailableError, UploadMissingError, UploadSizeMismatchError
from dubline.orchestration.storage.s3 import create_client, http_status, translate_errors
from dubline.orchestration.storage.upload_stream import UploadAbortedError, UploadStream

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping
    from pathlib import Path

    from dubline.orchestration.settings import BucketSettings

RESULT_URL_MAX_S: Final = 3600
#: Small, because progress is reported once per chunk and a megabyte takes too long on a slow connection.
CHUNK_BYTES: Final = 1 << 16
#: Most keys in one DeleteObjects request of S3.
DELETE_LIMIT: Final = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class PresignedPut:
    """A presigned URL for one PUT of an exact length; the headers must be sent unchanged."""

    url: str
    headers: Mapping[str, str]
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredObject:
    """An object in a listing."""

    key: str
    size_bytes: int
    modified_at: datetime


def _no_report() -> None:
    pass


class Objects:
    """One bucket. Threads may share it; forked processes may not.

    Raises:
        StorageUnavailableError: the settings or AWS_* variables are not valid; no request was sent.
    """

    def __init__(self, settings: BucketSettings) -> None:
        self._bucket = settings.name
        # Only this class knows the prefix: rows and callers have keys without it, and no call reaches other objects.
        self._prefix = settings.prefix
        self._region = settings.region
        self._client = create_client(settings, settings.endpoint_url)
        # A signature covers the host, so presigned URLs with a public host need a client of their own.
        public_url = settings.public_url or settings.endpoint_url
        self._signer = self._client if public_url == settings.endpoint_url else create_client(settings, public_url)

    def create_bucket(self) -> bool:
        """Create the bucket if it does not exist; return whether it was created."""
        with translate_errors():
            if self._exists():
                return False
            if self._region == "us-east-1":  # S3 rejects this region as a location
                self._client.create_bucket(Bucket=self._bucket)
            else:
                self._client.create_bucket(
                    Bucket=self._bucket,
                    CreateBucketConfiguration={"LocationConstraint": self._region},  # type: ignore[typeddict-item]
                )
        return True

    def check(self) -> None:
        """Check that the bucket exists.

        Raises:
            StorageUnavailableError: it does not exist, or the storage does not respond.
        """
        with translate_errors():
            if not self._exists():
                raise StorageUnavailableError(f"The bucket {self._bucket} does not exist. Run create-bucket first.")

    def presign_put(self, key: str, content_type: str, size_bytes: int, expires_s: int = 3600) -> PresignedPut:
        """Presign a PUT that S3 rejects unless content type and length match, and once the object exists.

        No request is sent.
        """
        url = self._signer.generate_presigned_url(
            "put_object",
            Params={
                "Bucket": self._bucket,
                "Key": self._prefix + key,
                "ContentType": content_type,
                "ContentLength": size_bytes,
                "IfNoneMatch": "*",
            },
            ExpiresIn=expires_s,
        )
        headers = {"Content-Type": content_type, "Content-Length": str(size_bytes), "If-None-Match": "*"}
        return PresignedPut(url=url, headers=headers, expires_at=_from_now(expires_s))

    def presign_get(self, key: str, filename: str, expires_s: int = RESULT_URL_MAX_S) -> str:
        """Presign a GET, valid for at most an hour, with a file name for browsers. No request is sent."""
        return self._signer.generate_presigned_url(
            "get_object",
            Params={
                "Bucket": self._bucket,
                "Key": self._prefix + key,
                "ResponseContentDisposition": f'attachment; filename="{_ascii_filename(filename)}"',
            },
            ExpiresIn=min(expires_s, RESULT_URL_MAX_S),
        )

    def size_bytes(self, key: str) -> int | None:
        """Return the length of an object; None if it does not exist.

        Raises:
            StorageUnavailableError: the storage does not respond.
        """
        with translate_errors():
            try:
                return self._client.head_object(Bucket=self._bucket, Key=self._prefix + key)["ContentLength"]
            except ClientError as error:
                if http_status(error) == HTTPStatus.NOT_FOUND:
                    return None
                raise

    def get(self, key: str, path: Path, limit_bytes: int, report: Callable[[], None] = _no_report) -> int:
        """Download an object to a file and return its length.

        Args:
            key: the object.
            path: the file, which is overwritten.
            limit_bytes: largest accepted length.
            report: called for each chunk; an error that it raises ends the download and is propagated.

        Raises:
            UploadMissingError: the object does not exist.
            UploadSizeMismatchError: it is longer than `limit_bytes`; the file is removed.
            StorageUnavailableError: the storage does not respond, or the connection broke.
            OSError: the disk is full.
        """
        with translate_errors():
            report()
            try:
                body = self._client.get_object(Bucket=self._bucket, Key=self._prefix + key)["Body"]
            except ClientError as error:
                if http_status(error) == HTTPStatus.NOT_FOUND:
                    raise UploadMissingError from error
                raise
            with body, path.open("wb") as file:
                for chunk in body.iter_chunks(CHUNK_BYTES):
                    report()
                    file.write(chunk)
                    if file.tell() > limit_bytes:
                        break
                written = file.tell()
        if written > limit_bytes:
            path.unlink()
            raise UploadSizeMismatchError(f"The stored file is longer than {limit_bytes} bytes.")
        return written

    def put(self, path: Path, key: str, content_type: str, report: Callable[[], None] = _no_report) -> int:
        """Upload a file under an unused key and return its length.

        If the key exists with the same length, the call succeeds: it is a retry after a lost response.

        Args:
            path: the file.
            key: the object.
            content_type: media type of the object.
            report: called for each chunk, at most 64 KiB; an error that it raises ends the upload, stores nothing
                and is propagated.

        Raises:
            StorageUnavailableError: the storage does not respond, or the key exists with another length.
        """
        size_bytes = path.stat().st_size
        try:
            with translate_errors(), UploadStream(path, report) as file:
                self._put(file, key, content_type, size_bytes)
        except UploadAbortedError as aborted:
            raise aborted.__cause__ or aborted from None
        return size_bytes

    def list(self, prefix: str = "") -> Iterator[StoredObject]:
        """Iterate over the objects whose keys start with a prefix, in key order; pages are fetched lazily.

        Raises:
            StorageUnavailableError: the storage does not respond.
        """
        paginator = self._client.get_paginator("list_objects_v2")
        pages = paginator.paginate(Bucket=self._bucket, Prefix=self._prefix + prefix)
        with translate_errors():
            for page in pages:
                for found in page.get("Contents", ()):
                    key = found["Key"].removeprefix(self._prefix)
                    yield StoredObject(key=key, size_bytes=found["Size"], modified_at=found["LastModified"])

    def delete_many(self, keys: Collection[str]) -> frozenset[str]:
        """Remove objects; missing ones count as removed.

        Returns:
            The keys that do not exist any more. The storage may refuse to remove single objects.

        Raises:
            StorageUnavailableError: the storage does not respond; some objects may have been removed.
        """
        wanted, refused = sorted(keys), set[str]()
        with translate_errors():
            for first in range(0, len(wanted), DELETE_LIMIT):
                part = wanted[first : first + DELETE_LIMIT]
                response = self._client.delete_objects(
                    Bucket=self._bucket,
                    Delete={"Objects": [{"Key": self._prefix + key} for key in part], "Quiet": True},
                )
                refused.update(error["Key"].removeprefix(self._prefix) for error in response.get("Errors", ()))
        return frozenset(wanted) - refused

    def _put(self, file: UploadStream, key: str, content_type: str, size_bytes: int) -> None:
        try:
            self._client.put_object(
                Bucket=self._bucket,
                Key=self._prefix + key,
                Body=file,
                ContentType=content_type,
                IfNoneMatch="*",
            )
        except ClientError as error:
            if http_status(error) != HTTPStatus.PRECONDITION_FAILED or self.size_bytes(key) != size_bytes:
                raise

    def _exists(self) -> bool:
        try:
            self._client.head_bucket(Bucket=self._bucket)
        except ClientError as error:
            if http_status(error) == HTTPStatus.NOT_FOUND:
                return False
            raise
        return True


def _from_now(seconds: int) -> datetime:
    return datetime.now(UTC) + timedelta(seconds=seconds)


def _ascii_filename(filename: str) -> str:
    return "".join(c if c.isascii() and (c.isalnum() or c in "-_.") else "_" for c in filename) or "result"
