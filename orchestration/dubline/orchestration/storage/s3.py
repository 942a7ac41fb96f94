"""The client of the object storage, and what its failures are to us. Only this file and objects know boto3."""

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
#: Longest silence of the storage, in either direction, before a request is given up.
READ_TIMEOUT_S: Final = 10
TRIES: Final = 2

_DISK_FULL: Final = (errno.ENOSPC, errno.EDQUOT)


def connect(settings: BucketSettings, endpoint_url: str) -> S3Client:
    """Make a client; nothing is sent.

    Raises:
        StorageUnavailableError: an AWS_PROFILE that is gone, an endpoint that is no URL.
    """
    try:
        return _bare(settings, endpoint_url)
    except (BotoCoreError, ValueError) as error:
        raise StorageUnavailableError(f"No client of the object storage can be made: {error}") from error


@contextmanager
def translated() -> Iterator[None]:
    """Let failures of the storage out of the block as StorageUnavailableError.

    Raises:
        OSError: a disk of this machine is full, which is not the storage's fault.
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


def status(error: ClientError) -> int:
    """HTTP status of a refusal; 0 where it has none."""
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def _bare(settings: BucketSettings, endpoint_url: str) -> S3Client:
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
            retries={"mode": "standard", "total_max_attempts": TRIES},
            # A checksum in a presigned PUT would be that of an empty body.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        ),
    )
