"""The bucket: uploads come in by presigned PUT, results go out by presigned GET. Only here is boto3 known."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import TYPE_CHECKING

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from dubline.orchestration.errors import StorageUnavailableError, UploadMissingError, UploadSizeMismatchError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from mypy_boto3_s3 import S3Client

    from dubline.orchestration.settings import BucketSettings

RESULT_URL_MAX_S = 3600
CHUNK_BYTES = 1 << 20
CONNECT_TIMEOUT_S = 3
READ_TIMEOUT_S = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class PresignedPut:
    """The right to store one object of exactly one length; send the headers as they are."""

    url: str
    headers: Mapping[str, str]
    expires_at: datetime


class Objects:
    """One bucket. Safe to share between threads, not across a fork.

    Raises:
        StorageUnavailableError: no client can be made of the settings and AWS_* variables; nothing was sent.
    """

    def __init__(self, settings: BucketSettings) -> None:
        self._bucket = settings.name
        self._region = settings.region
        self._client = _client(settings, settings.endpoint_url)
        # The host is part of a signature, so URLs for the outside are signed by a client of their own.
        public_url = settings.public_url or settings.endpoint_url
        self._signer = self._client if public_url == settings.endpoint_url else _client(settings, public_url)

    def create_bucket(self) -> bool:
        """Create the bucket where it is missing; return whether it was created."""
        with _translated():
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
        with _translated():
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
        """Sign a GET that a browser saves under ``filename`` (at most an hour). Sends nothing."""
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
        with _translated():
            try:
                return self._client.head_object(Bucket=self._bucket, Key=key)["ContentLength"]
            except ClientError as error:
                if _status(error) == HTTPStatus.NOT_FOUND:
                    return None
                raise

    def get(self, key: str, path: Path, limit_bytes: int) -> int:
        """Copy an object into a file and return its length.

        Raises:
            UploadMissingError: there is no such object.
            UploadSizeMismatchError: it is longer than ``limit_bytes``; nothing is left at ``path``.
            StorageUnavailableError: the storage does not answer or stopped half-way.
        """
        with _translated():
            try:
                body = self._client.get_object(Bucket=self._bucket, Key=key)["Body"]
            except ClientError as error:
                if _status(error) == HTTPStatus.NOT_FOUND:
                    raise UploadMissingError from error
                raise
            with body, path.open("wb") as file:
                for chunk in body.iter_chunks(CHUNK_BYTES):
                    file.write(chunk)
                    if file.tell() > limit_bytes:
                        break
                written = file.tell()
        if written > limit_bytes:
            path.unlink()
            raise UploadSizeMismatchError(f"The stored file is longer than {limit_bytes} bytes.")
        return written

    def put(self, path: Path, key: str, content_type: str) -> int:
        """Store a file under a key that was never used, and return its length.

        Storing the same length again succeeds: it is our own PUT repeated after a lost answer.

        Raises:
            StorageUnavailableError: the storage does not answer, or the key holds something else.
        """
        size_bytes = path.stat().st_size
        with _translated(), path.open("rb") as file:
            try:
                self._client.put_object(
                    Bucket=self._bucket, Key=key, Body=file, ContentType=content_type, IfNoneMatch="*"
                )
            except ClientError as error:
                if _status(error) != HTTPStatus.PRECONDITION_FAILED or self.size_bytes(key) != size_bytes:
                    raise
        return size_bytes

    def delete(self, key: str) -> None:
        """Remove an object; one that is not there is no error.

        Raises:
            StorageUnavailableError: the storage does not answer.
        """
        with _translated():
            self._client.delete_object(Bucket=self._bucket, Key=key)

    def _exists(self) -> bool:
        try:
            self._client.head_bucket(Bucket=self._bucket)
        except ClientError as error:
            if _status(error) == HTTPStatus.NOT_FOUND:
                return False
            raise
        return True


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "unknown")
        raise StorageUnavailableError(f"The object storage refused {error.operation_name}: {code}.") from error
    except (BotoCoreError, OSError) as error:
        # A disk that is full is as temporary as a bucket that is away, and no fault of the job.
        raise StorageUnavailableError from error


def _client(settings: BucketSettings, endpoint_url: str) -> S3Client:
    try:
        return _bare_client(settings, endpoint_url)
    except (BotoCoreError, ValueError) as error:
        # An AWS_PROFILE that is gone, an endpoint that is no URL.
        raise StorageUnavailableError(f"No client of the object storage can be made: {error}") from error


def _bare_client(settings: BucketSettings, endpoint_url: str) -> S3Client:
    return boto3.client(
        "s3",
        region_name=settings.region,
        endpoint_url=endpoint_url or None,
        aws_access_key_id=settings.access_key.get_secret_value() or None,
        aws_secret_access_key=settings.secret_key.get_secret_value() or None,
        config=Config(
            signature_version="s3v4",
            # Other stores than AWS have no host name per bucket.
            s3={"addressing_style": "path" if endpoint_url else "virtual"},
            connect_timeout=CONNECT_TIMEOUT_S,
            read_timeout=READ_TIMEOUT_S,
            retries={"mode": "standard", "total_max_attempts": 3},
            # A checksum in a presigned PUT would be that of an empty body.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        ),
    )


def _status(error: ClientError) -> int:
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def _from_now(seconds: int) -> datetime:
    return datetime.now(UTC) + timedelta(seconds=seconds)


def _plain(filename: str) -> str:
    return "".join(c if c.isascii() and (c.isalnum() or c in "-_.") else "_" for c in filename) or "result"
