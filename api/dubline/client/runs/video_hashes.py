"""SHA-256 of the finished videos of some rows: a file beside the videos, to which a line is added for each.

It tells, without the server that has rendered it, whether a file is the video of a row.
"""

from __future__ import annotations

import json
import os
import re
from collections import defaultdict
from typing import TYPE_CHECKING, Final

from dubline.client.calls.videos import part_of
from dubline.client.errors import ClientError

if TYPE_CHECKING:
    from pathlib import Path


#: Ids that name a file of this folder, whatever is in the file.
_JOB_ID: Final = re.compile(r"[0-9A-Za-z-]+")


class VideoHashes:
    """The hashes of all runs of the same rows, on whichever servers."""

    def __init__(self, path: Path) -> None:
        """Read the file, if it exists.

        Raises:
            ClientError: it cannot be read.
        """
        self._path = path
        self._known: defaultdict[str, set[str]] = defaultdict(set)
        self._jobs: set[str] = set()
        try:
            lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.exists() else []
        except OSError as error:
            raise ClientError(f"Cannot read {path}: {error.strerror}.") from error
        for line in lines:
            try:
                name, sha256, job_id = json.loads(line)
            except (ValueError, TypeError):
                # The last line of a run that was killed.
                continue
            self._known[str(name)].add(str(sha256))
            self._jobs.add(str(job_id))

    def of(self, name: str) -> frozenset[str]:
        """Return the hashes of the videos that were rendered for a row."""
        return frozenset(self._known.get(name, ()))

    def add(self, name: str, sha256: str, job_id: str) -> None:
        """Add the hash of a finished video, before it is downloaded.

        Raises:
            ClientError: it cannot be written.
        """
        if sha256 in self._known[name] and job_id in self._jobs:
            return
        self._known[name].add(sha256)
        self._jobs.add(job_id)
        try:
            file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            try:
                os.write(file, f"{json.dumps([name, sha256, job_id])}\n".encode())
            finally:
                os.close(file)
        except OSError as error:
            raise ClientError(f"Cannot write {self._path}: {error.strerror}.") from error

    def forget(self) -> None:
        """Remove the file, and what interrupted downloads of the jobs have left."""
        for job_id in filter(_JOB_ID.fullmatch, self._jobs):
            part_of(self._path.parent, job_id).unlink(missing_ok=True)
        self._path.unlink(missing_ok=True)
