"""Local files and folders: a file whose name is composed otherwise, and a folder that can be written."""

from __future__ import annotations

import tempfile
import unicodedata
from typing import TYPE_CHECKING

from dubline.client.errors import ClientError

if TYPE_CHECKING:
    from pathlib import Path


def find(path: Path) -> Path:
    """Return the file that a path names, compared in the composed form (NFC) of its name; the path if there is none.

    One name can be written with composed or with decomposed letters. File systems other than those of macOS take these
    for two names.
    """
    if path.exists() or path == path.parent:
        return path
    folder = find(path.parent)
    if not folder.is_dir():
        return path
    wanted = unicodedata.normalize("NFC", path.name)
    found = (one for one in folder.iterdir() if unicodedata.normalize("NFC", one.name) == wanted)
    return next(found, folder / path.name)


def create_folder(folder: Path) -> None:
    """Create a folder unless it exists, and check that files can be written to it.

    Raises:
        ClientError: it is a file, or nothing can be written to it.
    """
    if folder.exists() and not folder.is_dir():
        raise ClientError(f"{folder} is not a folder. Name the folder of the videos with --out.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ClientError(f"Cannot write to the folder {folder}: {error.strerror}. Name another with --out.") from error
