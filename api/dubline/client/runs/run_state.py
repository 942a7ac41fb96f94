"""What a folder of videos keeps about an unfinished batch or job: its key and, once it is accepted, its id."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import uuid
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError

from dubline.client.errors import ClientError, RefusedError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

VERSION: Final = 1
_DIGITS: Final = 16
#: Statuses of a request that is refused again however often it is sent.
_REFUSALS: Final = frozenset({404, 413, 422})


class _Document(BaseModel):
    """The file as JSON."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    version: Literal[1] = VERSION
    server: str
    idempotency_key: Annotated[str, StringConstraints(pattern=r"^[\x21-\x7e]{1,255}$")]
    id: str | None = None


class RunState:
    """The state of one run: a file beside its videos, readable for its owner only.

    It is written before anything is sent, so that a run that begins again continues the same batch or job.

    Attributes:
        is_new: whether no earlier run has left it.
    """

    def __init__(self, folder: Path, server: str, rows: Iterable[str], *, kept: bool = True) -> None:
        """Read the state of a run, or prepare a new one; nothing is written yet.

        Args:
            folder: folder of the videos.
            server: URL of the server.
            rows: each row as text that changes with its files and options; other rows are another run.
            kept: whether a file is written. Without one, no run can be continued.

        Raises:
            ClientError: the file cannot be read.
        """
        self._rows = list(rows)
        self.path = folder / f".dubline-{_digest([server, *self._rows])}.json"
        self.is_new = not self.path.exists()
        self._kept = kept
        self._document = _new(server) if self.is_new else _read(self.path)

    @property
    def key(self) -> str:
        """The idempotency key of the batch or job."""
        return self._document.idempotency_key

    @property
    def id(self) -> str | None:
        """Id of the batch or job; None until it is known."""
        return self._document.id

    def renew(self) -> None:
        """Take another key, because the batch or job was deleted."""
        self._remove()
        self.is_new = True
        self._document = _new(self._document.server)

    def save(self, identifier: str | None = None) -> None:
        """Write the file in one step; of two runs that begin at once, the second takes over the key of the first.

        Raises:
            ClientError: it cannot be written.
        """
        self._document = self._document.model_copy(update={"id": identifier})
        if not self._kept:
            return
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            # Files of this function are readable for their owner only.
            descriptor, name = tempfile.mkstemp(prefix=".dubline-", dir=self.path.parent)
            try:
                with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                    file.write(self._document.model_dump_json(indent=2))
                    file.flush()
                    os.fsync(file.fileno())
                if not self.is_new:
                    Path(name).replace(self.path)
                elif not _create(Path(name), self.path):
                    self._document = _read(self.path)
            finally:
                Path(name).unlink(missing_ok=True)
            self.is_new = False
        except OSError as error:
            raise ClientError(f"Cannot write {self.path}: {error.strerror}.") from error

    @contextmanager
    def forgotten_if_refused(self) -> Iterator[None]:
        """Remove the file if the server refuses what the first run sends, because there is nothing to continue."""
        is_first = self.is_new
        try:
            yield
        except RefusedError as error:
            if is_first and self.id is None and error.status in _REFUSALS:
                self._remove()
            raise

    def forget(self) -> None:
        """Remove the files of all runs of these rows, on whichever servers, because the folder has every video."""
        for path in self.path.parent.glob(".dubline-*.json"):
            with suppress(ClientError):
                if path.name == f".dubline-{_digest([_read(path).server, *self._rows])}.json":
                    path.unlink(missing_ok=True)
        self._remove()

    def _remove(self) -> None:
        self.path.unlink(missing_ok=True)


def _digest(texts: list[str]) -> str:
    return hashlib.sha256(json.dumps(texts).encode()).hexdigest()[:_DIGITS]


def _create(temporary: Path, path: Path) -> bool:
    """Give a file its name; return False if another file has that name."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        return False
    except OSError:
        # A file system without links.
        temporary.replace(path)
    return True


def _new(server: str) -> _Document:
    return _Document(server=server, idempotency_key=str(uuid.uuid4()))


def _read(path: Path) -> _Document:
    try:
        return _Document.model_validate_json(path.read_bytes())
    except OSError as error:
        raise ClientError(f"Cannot read {path}: {error.strerror}.") from error
    except ValidationError as error:
        advice = "Remove it to send everything anew, or use the version of dubline that wrote it."
        raise ClientError(f"{path} is not the state of a run. {advice}") from error
