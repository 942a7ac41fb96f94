"""Local files and folders: which file a path names, and whether a video can be written to a path."""

from __future__ import annotations

import stat
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
    try:
        if path.exists() or path == path.parent:
            return path
        folder = find(path.parent)
        wanted = unicodedata.normalize("NFC", path.name)
        found = (one for one in folder.iterdir() if unicodedata.normalize("NFC", one.name) == wanted)
        return next(found, folder / path.name)
    except (OSError, ValueError):
        # A name that no file can have, or a folder that cannot be read: `file_fault` says which.
        return path


def file_fault(path: Path) -> str:
    """Say why a path names no file that can be sent, without a full stop; empty if it names one."""
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return f"the file {path} does not exist"
    except OSError as error:
        return f"the file {path} cannot be read: {error.strerror}"
    except ValueError:
        return f"the name {str(path)!r} has a zero character, which no file has"
    if stat.S_ISDIR(mode):
        return f"{path} is a folder; name a file"
    return "" if stat.S_ISREG(mode) else f"{path} is a device or a pipe; save its content as a file and name that"


def find_file(path: Path) -> Path:
    """Return the file that a path names, as `find` does.

    Raises:
        ClientError: it names no file that can be sent.
    """
    found = find(path)
    if fault := file_fault(found):
        raise ClientError(f"{fault[0].upper()}{fault[1:]}." if fault.startswith("the ") else f"{fault}.")
    return found


def check_target(path: Path) -> None:
    """Check that a video can be written to a path, whose folder exists.

    Raises:
        ClientError: the path names a folder, a device or a pipe, or no file can have its name.
    """
    advice = "Name the file of the video with --out."
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return
    except OSError as error:
        raise ClientError(f"Cannot write {path}: {error.strerror}. {advice}") from error
    if stat.S_ISDIR(mode):
        raise ClientError(f"{path} is a folder. {advice}")
    if not stat.S_ISREG(mode):
        raise ClientError(f"{path} is a device or a pipe, which a video would replace. {advice}")


def create_folder(folder: Path) -> None:
    """Create a folder unless it exists, and check that files can be written to it.

    Raises:
        ClientError: it is a file, or nothing can be written to it.
    """
    try:
        if folder.exists() and not folder.is_dir():
            raise ClientError(f"{folder} is not a folder. Name the folder of the videos with --out.")
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ClientError(f"Cannot write to the folder {folder}: {error.strerror}. Name another with --out.") from error
