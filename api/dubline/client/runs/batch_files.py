"""The files of a batch: their sizes, compared with the server's limits before anything is sent, and their hashes."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from dubline.client.calls.hashes import file_sha256
from dubline.client.errors import ManifestError, RefusedError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from dubline.client.calls.consent import Consent
    from dubline.client.calls.limits import Limits
    from dubline.client.calls.uploads import Kind
    from dubline.client.client import Client
    from dubline.client.runs.manifest import Row
    from dubline.client.runs.thread_pool import ThreadPool


def files_of(row: Row) -> tuple[tuple[Path, Kind, Consent | None], tuple[Path, Kind, None]]:
    """Return the portrait and the speech of a row, each with its role and the consent of the person in it."""
    return (row.portrait, "portrait", row.consent), (row.speech, "speech", None)


def check_limits(client: Client, rows: Sequence[Row]) -> None:
    """Compare the number of rows and the size of each file with the limits of the server.

    Raises:
        ManifestError: there are too many rows, or files are too large.
        ClientError: the server did not respond.
    """
    limits = limits_of(client)
    if limits is None:
        return
    files = ((path, kind) for row in rows for path, kind, _ in files_of(row))
    if faults := [*_row_faults(limits, rows), *_size_faults(limits, files)]:
        raise ManifestError([*faults, "Nothing was sent."])


def check_sizes(client: Client, portrait: Path, speech: Path) -> None:
    """Compare the sizes of two files with the limits of the server.

    Raises:
        ManifestError: a file is too large.
        ClientError: the server did not respond.
    """
    limits = limits_of(client)
    if limits and (faults := list(_size_faults(limits, ((portrait, "portrait"), (speech, "speech"))))):
        raise ManifestError([*faults, "Nothing was sent."])


def limits_of(client: Client) -> Limits | None:
    """Return the limits of the server; None for one of an earlier version, which does not state them.

    Raises:
        ClientError: the server did not respond.
    """
    try:
        return client.limits()
    except RefusedError as error:
        if error.status == HTTPStatus.NOT_FOUND:
            return None
        raise


def hashes(threads: ThreadPool, rows: Sequence[Row]) -> dict[Path, str | None]:
    """Return the SHA-256 of each file; None for one that cannot be read."""
    return hashes_of(threads, (path for row in rows for path, *_ in files_of(row)))


def hashes_of(threads: ThreadPool, paths: Iterable[Path]) -> dict[Path, str | None]:
    """Return the SHA-256 of each file; None for one that cannot be read, or does not exist."""
    started = {path: threads.start(_sha256, path) for path in set(paths)}
    return {path: one.result() for path, one in started.items()}


def _sha256(path: Path) -> str | None:
    try:
        return file_sha256(path)
    except OSError:
        return None


def _row_faults(limits: Limits, rows: Sequence[Row]) -> Iterator[str]:
    count, most = len(rows), limits.queued_jobs
    if count > limits.batch_rows:
        yield f"The batch has {count:,} rows; the server accepts {limits.batch_rows:,}. Split it into several files."
    # What may be accepted later is not refused: the server says so, and the run waits.
    if most is not None and count > most:
        yield f"The batch has {count:,} rows; {most:,} may be unfinished at once. Split it into several files."
    if limits.consent_required:
        for row in rows:
            if row.consent is None:
                advice = "Add it as `consent`."
                yield f"{row.custom_id}: the server requires the consent of the person in the portrait. {advice}"


def _size_faults(limits: Limits, files: Iterable[tuple[Path, Kind]]) -> Iterator[str]:
    for path, kind in dict.fromkeys(files):
        most = limits.bytes_of(kind)
        size = path.stat().st_size if path.is_file() else 0
        if size > most:
            yield f"{path} has {size:,} bytes; the server accepts {most:,} for a {kind}. Use a smaller file."
