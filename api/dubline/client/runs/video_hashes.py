"""SHA-256 of the videos that were rendered for rows: one file in the folder of the videos, a line for each video.

It tells, without the server that has rendered it, whether a file is the video of a row as the row is now.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections import defaultdict
from typing import TYPE_CHECKING, Final

from dubline.client.calls.videos import part_of
from dubline.client.errors import ClientError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

#: Name of the file. It is kept when a batch is finished, for the next run.
NAME: Final = ".dubline-videos.jsonl"
_DIGITS: Final = 16
#: Ids that name a file of this folder, whatever is in the file.
_JOB_ID: Final = re.compile(r"[0-9A-Za-z-]+")


class VideoHashes:
    """The hashes of all runs, on whichever servers, for the rows of one batch file."""

    def __init__(self, folder: Path, rows: Mapping[str, str]) -> None:
        """Read the file, if it exists.

        Args:
            folder: folder of the videos.
            rows: each row by its name, as text that changes with everything that its video depends on.

        Raises:
            ClientError: it cannot be read.
        """
        self._path = folder / NAME
        self._rows = {name: hashlib.sha256(text.encode()).hexdigest()[:_DIGITS] for name, text in rows.items()}
        self._now: defaultdict[str, set[str]] = defaultdict(set)
        self._before: defaultdict[str, set[str]] = defaultdict(set)
        self._jobs: defaultdict[str, set[str]] = defaultdict(set)
        try:
            text = self._path.read_text(encoding="utf-8", errors="replace") if self._path.exists() else ""
        except OSError as error:
            raise ClientError(f"Cannot read {self._path}: {error.strerror}.") from error
        for line in text.splitlines():
            try:
                name, row, sha256, job_id = map(str, json.loads(line))
            except (ValueError, TypeError):
                # The last line of a run that was killed.
                continue
            (self._now if row == self._rows.get(name) else self._before)[name].add(sha256)
            self._jobs[name].add(job_id)

    def knows(self, name: str) -> bool:
        """Tell whether a video was rendered for a row, as it is now or as it was."""
        return name in self._jobs

    def of(self, name: str) -> frozenset[str]:
        """Return the hashes of the videos that were rendered for a row as it is now."""
        return frozenset(self._now.get(name, ()))

    def before(self, name: str) -> frozenset[str]:
        """Return the hashes of the videos that were rendered for a row before it or its files changed."""
        return frozenset(self._before.get(name, ()))

    def add(self, name: str, sha256: str, job_id: str) -> None:
        """Add the hash of a finished video, before it is downloaded.

        Raises:
            ClientError: it cannot be written.
        """
        if sha256 in self._now[name] and job_id in self._jobs[name]:
            return
        self._now[name].add(sha256)
        self._jobs[name].add(job_id)
        line = f"{json.dumps([name, self._rows[name], sha256, job_id])}\n".encode()
        try:
            with os.fdopen(os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600), "r+b") as file:
                if file.seek(0, os.SEEK_END):
                    file.seek(-1, os.SEEK_END)
                    # The last line of a run that was killed, or whose disk was full, must not continue with this one.
                    line = line if file.read(1) == b"\n" else b"\n" + line
                file.write(line)
        except OSError as error:
            raise ClientError(f"Cannot write {self._path}: {error.strerror}.") from error

    def remove_parts(self) -> None:
        """Remove what interrupted downloads of these rows' jobs have left."""
        for name in self._rows:
            for job_id in filter(_JOB_ID.fullmatch, self._jobs.get(name, ())):
                part_of(self._path.parent, job_id).unlink(missing_ok=True)
