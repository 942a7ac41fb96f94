"""Extracts training clips from a folder of videos, each video in a subprocess.

The folder holds talking-head videos with sound. Each subfolder is one person; whole persons are held out. A file that
crashes or blocks the decoder ends its own subprocess only.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import re
import resource
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import av
from rich.console import Console
from rich.progress import Progress

from dubline.training.cli_errors import UsageError
from dubline.training.footage.clip_selection import SelectionRules, select_clips, write_clips
from dubline.training.footage.video import VideoError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from multiprocessing.connection import Connection
    from pathlib import Path

SUFFIXES: Final = {".mp4", ".mov", ".m4v", ".mkv", ".webm", ".avi"}
RECORD: Final = "footage.jsonl"
#: Two hours are enough to read six hours of video on one core; longer means that the file cannot be read.
TIMEOUT_S: Final = 2 * 3600.0
#: Limit of a subprocess's address space; threads and libraries reserve far more than they use.
MEMORY_BYTES: Final = 8 * 2**30


class SourceVideo(NamedTuple):
    """A video to extract clips from."""

    path: Path
    name: str
    """Path relative to the folder of videos."""
    person: str
    """First folder of `name`, or the file name if the video is in no folder."""
    heldout: bool
    """Whether this person is held out."""


class Outcome(NamedTuple):
    """The result of one video."""

    lengths_s: list[float]
    """Length of each extracted clip."""
    refused: dict[str, float]
    """Refused seconds by reason; 0 if the whole video was refused."""


def find_videos(folder: Path, heldout_share: float, named: Sequence[str] = ()) -> list[SourceVideo]:
    """List all videos below a folder, split by person.

    A person is held out by a hash of the name. If that selects no person and there are at least two, the person with
    the lowest hash is held out.

    Args:
        folder: each of its folders is a person.
        heldout_share: share of persons that are held out.
        named: exactly these persons are held out instead.

    Raises:
        FileNotFoundError: there are no videos.
        UsageError: a named person has no video.
    """
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    if not paths:
        raise FileNotFoundError(f"no videos ({', '.join(sorted(SUFFIXES))}) below {folder}")
    persons = {path: path.relative_to(folder).parts[0] for path in paths}
    draws = {person: int(hashlib.sha256(person.encode()).hexdigest()[:8], 16) / 16**8 for person in persons.values()}
    heldout = {person for person, draw in draws.items() if draw < heldout_share}
    if unknown := sorted(set(named) - draws.keys()):
        raise UsageError(f"{folder} has no video of {', '.join(unknown)}: persons are folders")
    if named:
        heldout = set(named)
    elif not heldout and heldout_share > 0 and len(draws) > 1:
        heldout = {min(draws, key=lambda person: draws[person])}
    return [
        SourceVideo(path, path.relative_to(folder).as_posix(), person, person in heldout)
        for path, person in persons.items()
    ]


def extract_clips(source: SourceVideo, out: Path, rules: SelectionRules) -> Outcome:
    """Extract the clips of one video; any failure becomes a reason for refusal."""
    refused: defaultdict[str, float] = defaultdict(float)
    # The digest keeps names apart that differ only in special characters.
    digest = hashlib.sha256(source.name.encode()).hexdigest()[:6]
    target = out / f"{re.sub('[^A-Za-z0-9]+', '-', source.name.rpartition('.')[0]).strip('-')[:60]}-{digest}"
    for clip in out.glob(f"{target.name}-*"):
        clip.unlink()
    split = "heldout" if source.heldout else "train"
    meta = {"kind": "speech", "split": split, "size": rules.size_px, "person": source.person, "video": source.name}
    lengths_s: list[float] = []
    try:
        selection = select_clips(source.path, rules, refused)
        if selection.spans:
            lengths_s = write_clips(selection, target, meta, refused)
    except VideoError as error:
        refused[str(error)] = 0
    except (av.FFmpegError, OSError, ValueError, MemoryError, OverflowError) as error:
        refused[f"unreadable ({type(error).__name__})"] = 0
    return Outcome(lengths_s, dict(refused))


def extract_in_subprocess(
    source: SourceVideo, out: Path, rules: SelectionRules, timeout_s: float = TIMEOUT_S
) -> Outcome:
    """Run `extract_clips` in a subprocess, so that a crash or a hang of the decoder does not end the caller."""
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_send_outcome, args=(sender, source, out, rules), daemon=True)
    process.start()
    sender.close()
    try:
        if not receiver.poll(timeout_s):
            return Outcome([], {"takes too long": 0})
        lengths_s, refused = receiver.recv()
        return Outcome(lengths_s, refused)
    except EOFError:
        return Outcome([], {"crashes the decoder": 0})
    finally:
        process.kill()
        process.join()
        receiver.close()


def _send_outcome(connection: Connection, source: SourceVideo, out: Path, rules: SelectionRules) -> None:
    # A file that makes the decoder allocate without limit must not take the memory of other processes.
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    connection.send(tuple(extract_clips(source, out, rules)))


def extract_all(
    sources: Iterable[SourceVideo], out: Path, rules: SelectionRules, jobs: int
) -> list[tuple[SourceVideo, Outcome]]:
    """Process all videos that the record in `out` does not list with the same size and rules; append to the record."""
    out.mkdir(parents=True, exist_ok=True)
    record, console = out / RECORD, Console()
    keys = {source: [source.name, source.path.stat().st_size, source.heldout, *rules] for source in sources}
    known = {json.dumps(row["key"]): Outcome(row["lengths_s"], row["refused"]) for row in _rows(record)}
    done = [(source, known[json.dumps(key)]) for source, key in keys.items() if json.dumps(key) in known]
    waiting = [source for source, key in keys.items() if json.dumps(key) not in known]
    if done:
        console.print(f"{len(done)} videos were processed before")
    with Progress(console=console) as progress, ThreadPoolExecutor(jobs) as pool:
        task = progress.add_task("processing videos", total=len(waiting))
        outcomes = pool.map(lambda source: extract_in_subprocess(source, out, rules), waiting)
        for source, outcome in zip(waiting, outcomes, strict=True):
            with record.open("a") as file:
                file.write(json.dumps({"key": keys[source], **outcome._asdict()}) + "\n")
            progress.console.print(describe(source, outcome), markup=False, soft_wrap=True)
            progress.advance(task)
            done.append((source, outcome))
    return done


def _rows(record: Path) -> list[dict[str, Any]]:
    rows = []
    for line in record.read_text().splitlines() if record.exists() else []:
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            # The last line is incomplete if the process was killed while writing.
            continue
    return rows


def describe(source: SourceVideo, outcome: Outcome) -> str:
    """Describe the outcome of one video in one line."""
    split = " (held out)" if source.heldout else ""
    refused = [f"{reason} {seconds:.0f} s" if seconds else reason for reason, seconds in outcome.refused.items()]
    left = f"; refused: {', '.join(refused)}" if refused else ""
    return f"{source.name}{split}: {len(outcome.lengths_s)} clips, {sum(outcome.lengths_s):.0f} s{left}"


def summarise(done: list[tuple[SourceVideo, Outcome]]) -> str:
    """Summarise clips per split and refused seconds per reason."""
    lines: list[str] = []
    sources: Counter[str] = Counter()
    refused: defaultdict[str, float] = defaultdict(float)
    for heldout in (False, True):
        some = [outcome for source, outcome in done if source.heldout == heldout and outcome.lengths_s]
        persons = {source.person for source, outcome in done if source.heldout == heldout and outcome.lengths_s}
        lengths_s = [length_s for outcome in some for length_s in outcome.lengths_s]
        split = "held out" if heldout else "training"
        minutes = sum(lengths_s) / 60
        lines.append(f"{split}: {len(lengths_s)} clips, {minutes:.1f} min, {len(some)} videos, {len(persons)} persons")
    for _, outcome in done:
        sources.update(outcome.refused.keys())
        for reason, seconds in outcome.refused.items():
            refused[reason] += seconds
    lines += [f"refused: {reason}: {count} videos, {refused[reason]:.0f} s" for reason, count in sources.most_common()]
    return "\n".join(lines)
