"""Makes training clips of people's videos.

Takes any folder of talking-head videos with sound. Where it has folders, each is a person; held out are whole persons.
One bad file never stops the run: each is read by a process of its own, which may crash or hang.
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

from dubline.training.footage.clip_selection import Rules, find_takes, write_takes
from dubline.training.footage.video import FilmError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from multiprocessing.connection import Connection
    from pathlib import Path

SUFFIXES: Final = {".mp4", ".mov", ".m4v", ".mkv", ".webm", ".avi"}
RECORD: Final = "footage.jsonl"
#: Two hours of reading are six hours of film on one core, or a file that leads nowhere.
PATIENCE_S: Final = 2 * 3600.0
#: Address space of a reading process; threads and libraries reserve far more than they use.
MEMORY_BYTES: Final = 8 * 2**30


class Film(NamedTuple):
    """A video to read: its path, its name below the folder, whose it is, and whether that person is held out."""

    path: Path
    name: str
    person: str
    heldout: bool


class Outcome(NamedTuple):
    """What became of one film: its clips' lengths, s, and the refused seconds (0 for all of it) by reason."""

    lengths_s: list[float]
    refused: dict[str, float]


def find_films(folder: Path, heldout_share: float) -> list[Film]:
    """All videos below a folder, with a split by person.

    A person (the first folder, or a video that lies in none) is held out by a hash of the name; where that holds
    out nobody, the lowest hash of two persons or more.

    Raises:
        FileNotFoundError: there are none.
    """
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    if not paths:
        raise FileNotFoundError(f"no videos ({', '.join(sorted(SUFFIXES))}) below {folder}")
    persons = {path: path.relative_to(folder).parts[0] for path in paths}
    draws = {person: int(hashlib.sha256(person.encode()).hexdigest()[:8], 16) / 16**8 for person in persons.values()}
    heldout = {person for person, draw in draws.items() if draw < heldout_share}
    if not heldout and heldout_share > 0 and len(draws) > 1:
        heldout = {min(draws, key=lambda person: draws[person])}
    return [
        Film(path, path.relative_to(folder).as_posix(), person, person in heldout) for path, person in persons.items()
    ]


def read_film(film: Film, out: Path, rules: Rules) -> Outcome:
    """Turn one video into clips; whatever is wrong with it becomes a reason."""
    refused: defaultdict[str, float] = defaultdict(float)
    # Two names that differ by odd characters only must not meet.
    digest = hashlib.sha256(film.name.encode()).hexdigest()[:6]
    target = out / f"{re.sub('[^A-Za-z0-9]+', '-', film.name.rpartition('.')[0]).strip('-')[:60]}-{digest}"
    for clip in out.glob(f"{target.name}-*"):
        clip.unlink()
    split = "heldout" if film.heldout else "train"
    meta = {"kind": "speech", "split": split, "size": rules.size_px, "person": film.person, "film": film.name}
    lengths_s: list[float] = []
    try:
        plan = find_takes(film.path, rules, refused)
        if plan.takes:
            lengths_s = write_takes(plan, target, meta, refused)
    except FilmError as error:
        refused[str(error)] = 0
    except (av.FFmpegError, OSError, ValueError, MemoryError, OverflowError) as error:
        refused[f"unreadable ({type(error).__name__})"] = 0
    return Outcome(lengths_s, dict(refused))


def read_apart(film: Film, out: Path, rules: Rules, patience_s: float = PATIENCE_S) -> Outcome:
    """`read_film` in a process of its own: a decoder that crashes or hangs takes nothing with it."""
    context = multiprocessing.get_context("spawn")
    mine, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_send_outcome, args=(theirs, film, out, rules), daemon=True)
    process.start()
    theirs.close()
    try:
        if not mine.poll(patience_s):
            return Outcome([], {"takes too long": 0})
        lengths_s, refused = mine.recv()
        return Outcome(lengths_s, refused)
    except EOFError:
        return Outcome([], {"crashes the decoder": 0})
    finally:
        process.kill()
        process.join()
        mine.close()


def _send_outcome(connection: Connection, film: Film, out: Path, rules: Rules) -> None:
    # A file that makes the decoder eat memory must not starve the training beside it.
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    connection.send(tuple(read_film(film, out, rules)))


def read_films(films: Iterable[Film], out: Path, rules: Rules, jobs: int) -> list[tuple[Film, Outcome]]:
    """Read all films that the record in `out` does not list with the same size and rules; keep the record."""
    out.mkdir(parents=True, exist_ok=True)
    record, console = out / RECORD, Console()
    keys = {film: [film.name, film.path.stat().st_size, film.heldout, *rules] for film in films}
    known = {json.dumps(row["key"]): Outcome(row["lengths_s"], row["refused"]) for row in _rows(record)}
    done = [(film, known[json.dumps(key)]) for film, key in keys.items() if json.dumps(key) in known]
    waiting = [film for film, key in keys.items() if json.dumps(key) not in known]
    if done:
        console.print(f"{len(done)} films were read before")
    with Progress(console=console) as progress, ThreadPoolExecutor(jobs) as pool:
        task = progress.add_task("reading films", total=len(waiting))
        outcomes = pool.map(lambda film: read_apart(film, out, rules), waiting)
        for film, outcome in zip(waiting, outcomes, strict=True):
            with record.open("a") as file:
                file.write(json.dumps({"key": keys[film], **outcome._asdict()}) + "\n")
            progress.console.print(describe(film, outcome), markup=False, soft_wrap=True)
            progress.advance(task)
            done.append((film, outcome))
    return done


def _rows(record: Path) -> list[dict[str, Any]]:
    rows = []
    for line in record.read_text().splitlines() if record.exists() else []:
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            # A kill cut this line short.
            continue
    return rows


def describe(film: Film, outcome: Outcome) -> str:
    """One line about one film."""
    split = " (held out)" if film.heldout else ""
    refused = [f"{reason} {seconds:.0f} s" if seconds else reason for reason, seconds in outcome.refused.items()]
    left = f"; refused: {', '.join(refused)}" if refused else ""
    return f"{film.name}{split}: {len(outcome.lengths_s)} clips, {sum(outcome.lengths_s):.0f} s{left}"


def summarise(done: list[tuple[Film, Outcome]]) -> str:
    """What came of it all, and why the rest did not."""
    lines: list[str] = []
    films: Counter[str] = Counter()
    refused: defaultdict[str, float] = defaultdict(float)
    for heldout in (False, True):
        some = [outcome for film, outcome in done if film.heldout == heldout and outcome.lengths_s]
        persons = {film.person for film, outcome in done if film.heldout == heldout and outcome.lengths_s}
        lengths_s = [length_s for outcome in some for length_s in outcome.lengths_s]
        split = "held out" if heldout else "training"
        minutes = sum(lengths_s) / 60
        lines.append(f"{split}: {len(lengths_s)} clips, {minutes:.1f} min, {len(some)} films, {len(persons)} persons")
    for _, outcome in done:
        films.update(outcome.refused.keys())
        for reason, seconds in outcome.refused.items():
            refused[reason] += seconds
    lines += [f"refused: {reason}: {count} films, {refused[reason]:.0f} s" for reason, count in films.most_common()]
    return "\n".join(lines)
