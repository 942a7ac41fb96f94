from __future__ import annotations

import re
import subprocess
import sys

import pytest

from dubline.orchestration.domain import errors

CLASSES = errors._subtree(errors.DublineError)


@pytest.mark.parametrize("cls", CLASSES)
def test_the_default_detail_of_an_error_is_a_sentence(cls: type[errors.DublineError]) -> None:
    error = cls()
    assert error.detail == str(error)
    assert error.detail.endswith((".", '".'))
    assert "\n" not in error.detail
    assert re.fullmatch(r"[a-z_]+", error.code)
    assert 400 <= error.status < 600


def test_the_default_detail_without_docstrings_names_the_code() -> None:
    script = "from dubline.orchestration.domain.errors import NoFaceError; print(NoFaceError())"
    done = subprocess.run([sys.executable, "-OO", "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "The error is no_face.\n"


def test_error_codes_are_unique() -> None:
    codes = [cls.code for cls in CLASSES if cls is not errors.InternalError]
    assert len(codes) == len(set(codes))


@pytest.mark.parametrize("cls", CLASSES)
def test_an_error_is_restored_from_its_code(cls: type[errors.DublineError]) -> None:
    error = errors.from_code(cls.code, "Because.")
    assert (error.code, error.detail) == (cls.code, "Because.")


def test_an_unknown_code_becomes_an_internal_error() -> None:
    assert errors.from_code("gone").status == 500


def test_an_invalid_batch_has_its_rows() -> None:
    error = errors.InvalidBatchError(errors=[{"row": 3}])
    assert error.errors == ({"row": 3},)
