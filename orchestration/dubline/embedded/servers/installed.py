"""Finds the files of installed server packages without importing them."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from dubline.embedded.errors import NotInstalled


def package_folder(module: str, package: str) -> Path:
    """Return the folder of an installed module.

    Raises:
        NotInstalled: the package is not installed.
    """
    spec = find_spec(module)
    if spec is None or spec.origin is None:
        raise NotInstalled(package)
    return Path(spec.origin).parent
