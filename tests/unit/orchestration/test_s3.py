from __future__ import annotations

import errno

import pytest
from botocore.exceptions import EndpointConnectionError

from dubline.orchestration.domain.errors import StorageUnavailableError
from dubline.orchestration.storage.s3 import translate_errors


@pytest.mark.parametrize("error", [EndpointConnectionError(endpoint_url="http://a"), OSError(errno.ECONNRESET, "")])
def test_an_error_of_the_connection_is_one_of_the_storage(error: Exception) -> None:
    with pytest.raises(StorageUnavailableError), translate_errors():
        raise error


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_no_error_of_the_storage(number: int) -> None:
    with pytest.raises(OSError, match="full") as caught, translate_errors():
        raise OSError(number, "full")
    assert caught.value.errno == number
