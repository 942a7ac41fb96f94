"""The bucket: uploads come in by presigned PUT, results go out by presigned GET."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from botocore.exceptions import ClientError

from dubline.orchestration.domain.errors import StorageUnavailableError, UploadMissingError, UploadSizeMismatchError
from dubline.orchestration.storage.s3 import connect, status, translated
from dubline.orchestration.storage.upload_stream import Outgoing, Stopped

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping
    from pathlib import Path

    from dubline.orchestration.settings import BucketSettings

RESULT_URL_MAX_S: Final = 3600
#: Small, because a report is due with each: on a slow line a megabyte takes too long to keep quiet.
CHUNK_BYTES: Final = 1 << 16
#: Most keys that S3 takes in one request.
DELETE_LIMIT: Final = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class PresignedPut:
    """The right to store one object of exactly one length; send the headers as they are."""

    url: str
    headers: Mapping[str, str]
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredObject:
    """What a listing tells of an object."""

    key: str
    size_bytes: int
    modified_at: datetime


def _keep_quiet() -> None:
    pass


class Objects:
    """One bucket. Safe to share between threads, not across a fork.

    Raises:
        StorageUnavailableError: no client can be made of the settings and AWS_* variables; nothing was sent.
    """

    def __init__(self, settings: BucketSettings) -> None:
        self._bucket = settings.name
        self._region = settings.region
        self._client = connect(settings, settings.endpoint_url)
        # The host is part of a signature, so URLs for the outside are signed by a client of their own.
        public_url = settings.public_url or settings.endpoint_url
        self._signer = self._client if public_url == settings.endpoint_url else connect(settings, public_url)

    def create_bucket(self) -> bool:
        """Create the bucket where it is missing; return whether it was created."""
        with translated():
            if self._exists():
                return False
            if self._region == "us-east-1":  # the one region that S3 refuses as a location
                self._client.create_bucket(Bucket=self._bucket)
            else:
                self._client.create_bucket(
                    Bucket=self._bucket,
                    CreateBucketConfiguration={"LocationConstraint": self._region},  # type: ignore[typeddict-item]
                )
        return True

    def check(self) -> None:
        """Ask for the bucket.

        Raises:
            StorageUnavailableError: it does not answer or does not exist.
        """
        with translated():
            if not self._exists():
                raise StorageUnavailableError(f"The bucket {self._bucket} does not exist. Run create-bucket first.")

    def presign_put(self, key: str, content_type: str, size_bytes: int, expires_s: int = 3600) -> PresignedPut:
        """Sign a PUT that S3 refuses unless content type and length are exactly these. Sends nothing."""
        url = self._signer.generate_presigned_url(
            "put_object",
            Params={
                "Bucket": self._bucket,
                "Key": key,
                "ContentType": content_type,
                "ContentLength": size_bytes,
            },
            ExpiresIn=expires_s,
        )
        headers = {"Content-Type": content_type, "Content-Length": str(size_bytes)}
        return PresignedPut(url=url, headers=headers, expires_at=_from_now(expires_s))

    def presign_get(self, key: str, filename: str, expires_s: int = RESULT_URL_MAX_S) -> str:
        """Sign a GET that a browser saves under `filename` (at most an hour). Sends nothing."""
        return self._signer.generate_presigned_url(
            "get_object",
            Params={
                "Bucket": self._bucket,
                "Key": key,
                "ResponseContentDisposition": f'attachment; filename="{_plain(filename)}"',
            },
            ExpiresIn=min(expires_s, RESULT_URL_MAX_S),
        )

    def size_bytes(self, key: str) -> int | None:
        """Length of an object; None where there is none.

        Raises:
            StorageUnavailableError: the storage does not answer.
        """
        with translated():
            try:
                return self._client.head_object(Bucket=self._bucket, Key=key)["ContentLength"]
            except ClientError as error:
                if status(error) == HTTPStatus.NOT_FOUND:
                    return None
                raise

    def get(self, key: str, path: Path, limit_bytes: int, report: Callable[[], None] = _keep_quiet) -> int:
        """Copy an object into a file and return its length.

        Args:
            key: the object.
            path: the file, which is written over.
            limit_bytes: the most that is accepted.
            report: called as bytes come in; what it raises ends the copying and is passed on.

        Raises:
            UploadMissingError: there is no such object.
            UploadSizeMismatchError: it is longer than `limit_bytes`; nothing is left at `path`.
            StorageUnavailableError: the storage does not answer or stopped half-way.
            OSError: the disk is full.
        """
        with translated():
            report()
            try:
                body = self._client.get_object(Bucket=self._bucket, Key=key)["Body"]
            except ClientError as error:
                if status(error) == HTTPStatus.NOT_FOUND:
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

    def put(self, path: Path, key: str, content_type: str, report: Callable[[], None] = _keep_quiet) -> int:
        """Store a file under a key that was never used, and return its length.

        Storing the same length again succeeds: it is our own PUT repeated after a lost answer.

        Args:
            path: the file.
            key: the object.
            content_type: told to whoever gets the object.
            report: called as bytes go out, at least with every 64 KiB; what it raises ends the sending and is
                passed on. Nothing is stored then.

        Raises:
            StorageUnavailableError: the storage does not answer, or the key holds something else.
        """
        size_bytes = path.stat().st_size
        try:
            with translated(), Outgoing(path, report) as file:
                self._put(file, key, content_type, size_bytes)
        except Stopped as stopped:
            raise stopped.__cause__ or stopped from None
        return size_bytes

    def list(self, prefix: str = "") -> Iterator[StoredObject]:
        """Walk over the objects whose keys begin with a prefix, in the order of their keys, page by page.

        Raises:
            StorageUnavailableError: the storage does not answer.
        """
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=prefix)
        with translated():
            for page in pages:
                for found in page.get("Contents", ()):
                    yield StoredObject(key=found["Key"], size_bytes=found["Size"], modified_at=found["LastModified"])

    def delete_many(self, keys: Collection[str]) -> frozenset[str]:
        """Remove objects; those that are not there count as removed.

        Returns:
            The keys under which there is nothing any more. The storage may refuse single ones.

        Raises:
            StorageUnavailableError: the storage does not answer; some may be gone.
        """
        wanted, refused = sorted(keys), set[str]()
        with translated():
            for first in range(0, len(wanted), DELETE_LIMIT):
                part = wanted[first : first + DELETE_LIMIT]
                answer = self._client.delete_objects(
                    Bucket=self._bucket, Delete={"Objects": [{"Key": key} for key in part], "Quiet": True}
                )
                refused.update(error["Key"] for error in answer.get("Errors", ()))
        return frozenset(wanted) - refused

    def _put(self, file: Outgoing, key: str, content_type: str, size_bytes: int) -> None:
        try:
            self._client.put_object(Bucket=self._bucket, Key=key, Body=file, ContentType=content_type, IfNoneMatch="*")
        except ClientError as error:
            if status(error) != HTTPStatus.PRECONDITION_FAILED or self.size_bytes(key) != size_bytes:
                raise

    def _exists(self) -> bool:
        try:
            self._client.head_bucket(Bucket=self._bucket)
        except ClientError as error:
            if status(error) == HTTPStatus.NOT_FOUND:
                return False
            raise
        return True


def _from_now(seconds: int) -> datetime:
    return datetime.now(UTC) + timedelta(seconds=seconds)


def _plain(filename: str) -> str:
    return "".join(c if c.isascii() and (c.isalnum() or c in "-_.") else "_" for c in filename) or "result"
