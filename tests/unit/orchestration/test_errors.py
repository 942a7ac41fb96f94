from __future__ import annotations

import re

import pytest

from dubline.orchestration.domain import errors

CLASSES = errors._tree(errors.DublineError)


@pytest.mark.parametrize("cls", CLASSES)
def test_an_error_explains_itself_in_whole_sentences(cls: type[errors.DublineError]) -> None:
    error = cls()
    assert error.detail == str(error)
    assert error.detail.endswith((".", '".'))
    assert "\n" not in error.detail
    assert re.fullmatch(r"[a-z_]+", error.code)
    assert 400 <= error.status < 600


def test_no_two_errors_share_a_code() -> None:
    codes = [cls.code for cls in CLASSES if cls is not errors.InternalError]
    assert len(codes) == len(set(codes))


@pytest.mark.parametrize("cls", CLASSES)
def test_a_stored_code_becomes_its_error_again(cls: type[errors.DublineError]) -> None:
    error = errors.from_code(cls.code, "Because.")
    assert (error.code, error.detail) == (cls.code, "Because.")


def test_an_unknown_code_becomes_an_internal_error() -> None:
    assert errors.from_code("gone").status == 500


def test_a_bad_batch_carries_its_rows() -> None:
    error = errors.InvalidBatchError(errors=[{"row": 3}])
    assert error.errors == ({"row": 3},)
