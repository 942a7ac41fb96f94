"""The boto3 client, and the translation of its errors."""

from __future__ import annotations

import errno
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from dubline.orchestration.domain.errors import StorageUnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mypy_boto3_s3 import S3Client

    from dubline.orchestration.settings import BucketSettings

CONNECT_TIMEOUT_S: Final = 3
#: Longest time without a byte in either direction before a request fails.
READ_TIMEOUT_S: Final = 10
MAX_TRIES: Final = 2

_DISK_FULL: Final = (errno.ENOSPC, errno.EDQUOT)


def create_client(settings: BucketSettings, endpoint_url: str) -> S3Client:
    """Create a client without sending a request.

    Raises:
        StorageUnavailableError: the settings or AWS_* variables are not valid, such as an unknown AWS_PROFILE or an
            endpoint that is not a URL.
    """
    try:
        return _client(settings, endpoint_url)
    except (BotoCoreError, ValueError) as error:
        raise StorageUnavailableError(f"The client of the object storage cannot be created: {error}") from error


@contextmanager
def translate_errors() -> Iterator[None]:
    """Translate errors of the storage in the block to StorageUnavailableError.

    Raises:
        OSError: a local disk is full.
    """
    try:
        yield
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "unknown")
        raise StorageUnavailableError(f"The object storage refused {error.operation_name}: {code}.") from error
    except BotoCoreError as error:
        raise StorageUnavailableError from error
    except OSError as error:
        if error.errno in _DISK_FULL:
            raise
        raise StorageUnavailableError from error


def http_status(error: ClientError) -> int:
    """Return the HTTP status of an error response; 0 if it has none."""
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def _client(settings: BucketSettings, endpoint_url: str) -> S3Client:
    return boto3.client(
        "s3",
        region_name=settings.region,
        endpoint_url=endpoint_url or None,
        aws_access_key_id=settings.access_key.get_secret_value() or None,
        aws_secret_access_key=settings.secret_key.get_secret_value() or None,
        config=Config(
            signature_version="s3v4",
            # Object stores other than AWS have no host name per bucket.
            s3={"addressing_style": "path" if endpoint_url else "virtual"},
            connect_timeout=CONNECT_TIMEOUT_S,
            read_timeout=READ_TIMEOUT_S,
            retries={"mode": "standard", "total_max_attempts": MAX_TRIES},
            # Otherwise presigned PUTs would contain the checksum of an empty body.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        ),
    )
