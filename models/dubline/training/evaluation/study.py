"""One complete evaluation: gather material, generate videos, measure faces, score, report."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

import numpy as np
from PIL import Image
from rich.progress import Progress
from skimage import data

from dubline.training.corpus import UNREADABLE, read_speech
from dubline.training.evaluation import report
from dubline.training.evaluation.contact_sheet import ContactSheet
from dubline.training.evaluation.generation import portrait, recordings
from dubline.training.evaluation.generation.generated import Voice
from dubline.training.evaluation.generation.generator import Generator
from dubline.training.evaluation.heldout import unseen_clips
from dubline.training.evaluation.landmarks.client import LandmarkClient
from dubline.training.evaluation.opening_plot import OpeningPlot
from dubline.training.evaluation.scores.exact_motion import dense_scores
from dubline.training.evaluation.scores.reference import FPS, of_recording
from dubline.training.evaluation.scores.summary import Scores, loudness_baseline

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from rich.console import Console

    from dubline.models.weights import Networks
    from dubline.training.evaluation.generation.portrait import Portrait
    from dubline.training.evaluation.landmarks.client import FaceMeasurements

HUMAN_S: Final = 6.0
LONG_S: Final = 24.0
PLOTTED: Final = 6

Read = TypeVar("Read")


@dataclass(frozen=True)
class Material:
    """Paths to evaluate on."""

    clips: list[Path]
    """Held-out clips."""
    photos: list[Path] = field(default_factory=list)
    """Photographs of faces."""
    voices: list[Path] = field(default_factory=list)
    """Recorded human voices."""
    dense: list[Path] = field(default_factory=list)
    """Files of frame pairs with exact flow."""
    excluded: int = 0
    """Number of held-out clips that were excluded because their person, voice or a sentence occurs in training."""


def spread(paths: list[Path], limit: int | None) -> list[Path]:
    """Select at most `limit` paths, evenly spread."""
    if not limit or limit >= len(paths):
        return paths
    return [paths[index] for index in np.linspace(0, len(paths) - 1, limit).round().astype(int)]


def gather(  # noqa: PLR0913 - one folder for each kind of material
    clips: Path,
    *,
    photos: Path | None = None,
    voices: Path | None = None,
    dense: Path | None = None,
    limit: int | None = None,
    training: Sequence[Path] = (),
) -> Material:
    """List the files of each folder.

    Args:
        clips: folder of clips.
        photos: folder of photographs.
        voices: folder of recordings.
        dense: folder of frame pairs with exact flow.
        limit: maximum number of clips and of voices.
        training: further folders that were trained on.

    Raises:
        FileNotFoundError: there is no held-out clip, or a given folder holds no file of its kind.
    """
    kept, excluded = unseen_clips(clips, training)
    return Material(
        spread(kept, limit),
        _files(photos, portrait.SUFFIXES),
        spread(_files(voices, recordings.SUFFIXES), limit),
        _files(dense, frozenset({".npz"})),
        excluded,
    )


def _files(folder: Path | None, suffixes: Iterable[str]) -> list[Path]:
    if folder is None:
        return []
    found = sorted(path for path in folder.iterdir() if path.suffix.lower() in suffixes) if folder.is_dir() else []
    if not found:
        raise FileNotFoundError(f"{folder} holds no file of {', '.join(sorted(suffixes))}")
    return found


class Study:
    """Evaluates networks on material and writes all results to one folder."""

    def __init__(self, networks: Networks, material: Material, out: Path, console: Console) -> None:
        self.networks, self.material, self.out, self.console = networks, material, out, console
        out.mkdir(parents=True, exist_ok=True)
        self.notes: list[str] = []
        if material.excluded:
            self.notes.append(
                f"{material.excluded} held-out clips share a person, a voice or a sentence with training: left out"
            )
        self.sheet = ContactSheet()
        self.landmarks = LandmarkClient(out, console)
        self.generator = Generator(networks, out, self.landmarks, self.sheet)

    def run(self) -> dict[str, Any]:
        """Generate, measure, score and write; return the content of `scores.json`."""
        with Progress(console=self.console, transient=True) as progress:
            self._generate(progress)
            task = progress.add_task("measuring faces", total=None)
            faces = self.landmarks.finish(lambda done, total: progress.update(task, completed=done, total=total))
        if self.landmarks.failure:
            self.notes.append(f"lips, faces and identity are not measured: {self.landmarks.failure}")
        scores = self._scores(Scores(self.generator, faces))
        report.write(scores, self.out / "scores.json")
        self.sheet.save(self.out / "contact.png")
        self._plot(faces)
        return scores

    def _generate(self, progress: Progress) -> None:
        material = self.material
        portraits, humans = self._portraits(), self._humans()
        bar = progress.add_task("generating", total=len(material.clips) + len(portraits) + len(material.voices) + 2)

        def step(what: str, act: Callable[[], object]) -> None:
            progress.update(bar, description=what)
            act()
            progress.advance(bar)

        if len(material.clips) > 1:
            self.generator.prepare_driver(material.clips[-1])
        for path in material.clips:
            step(f"clip {path.stem}", partial(self.generator.generate_clip, path))
        people, voices = itertools.cycle(portraits), itertools.cycle(self.generator.voices)
        for person in portraits if self.generator.voices else []:
            voice = next(voices)
            step(f"portrait {person.name}", partial(self.generator.generate_portrait, person, voice))
        for voice in humans if portraits else []:
            person = next(people)
            step(f"voice {voice.name}", partial(self.generator.generate_portrait, person, voice))
        long = recordings.joined((voice.speech for voice in itertools.chain(humans, self.generator.voices)), LONG_S)
        for person in portraits[:: max(1, len(portraits) - 1)][:2] if len(long) else []:
            step("long speech", partial(self.generator.generate_long_speech, person, long))

    def _portraits(self) -> list[Portrait]:
        """Cut the squares of the photographs; without photographs, of scikit-image's astronaut."""
        if not self.material.photos:
            self.notes.append("no folder of photographs was given (--photos): scikit-image's astronaut is used")
            found = [portrait.cut_portrait("astronaut", Image.fromarray(data.astronaut()))]
            return [person for person in found if person is not None]
        read = dict(self._readable(self.material.photos, portrait.read_portrait))
        faceless = [name for name, person in read.items() if person is None]
        if faceless:
            self.notes.append(f"photographs without a detected face are left out: {', '.join(faceless)}")
        return [person for person in read.values() if person is not None]

    def _humans(self) -> list[Voice]:
        voices = []
        for name, speech in self._readable(self.material.voices, partial(read_speech, seconds=HUMAN_S)):
            count = max(1, len(speech) * FPS // 16_000)
            voices.append(Voice(name, speech, count, of_recording(speech, count), human=True))
        return voices

    def _readable(self, paths: list[Path], read: Callable[[Path], Read]) -> Iterator[tuple[str, Read]]:
        """Yield the content of readable files by file name; note the others."""
        for path in paths:
            try:
                yield path.name, read(path)
            except UNREADABLE as error:
                self.notes.append(f"left out {path.name}: {error!r}")

    def _scores(self, summary: Scores) -> dict[str, Any]:
        dense = dense_scores(self.generator.renderer, self.material.dense)
        if not dense:
            self.notes.append("no held-out dense pairs were given (--dense): the upper bound of stage 1 is missing")
        if not self.material.voices:
            self.notes.append("no recorded voices were given (--speech): human speech is not scored")
        scores: dict[str, Any] = {
            "preset": self.networks.preset.name,
            "weights": self.networks.sha256,
            "clips": len(self.generator.clips),
            "table": summary.table(),
            "dense": dense,
            "overrides": summary.overrides(),
            "talkers": summary.talkers(),
            "portraits": summary.portraits(),
            "jaws": summary.jaws(),
            "human": summary.human() if self.material.voices else {},
            "long": summary.long(),
            "clip_identity": summary.clip_identity(),
            "clip_faces": summary.clip_faces(),
            "notes": self.notes,
            "each_clip": summary.clips(),
        }
        return {"line": report.headline(scores), **scores}

    def _plot(self, faces: Mapping[Path, FaceMeasurements]) -> None:
        plot = OpeningPlot()
        for result in self.generator.clips:
            modes = ("truth", "own", "speech")
            if result.kind != "speech" or len(plot.panels) == PLOTTED:
                continue
            if any(result.videos.get(mode) not in faces for mode in modes):
                continue
            curves = {mode: faces[result.videos[mode]].opening for mode in modes}
            plot.add(
                result.name,
                {"loudness": loudness_baseline(result, curves["truth"]), **curves},
                result.reference.closures,
            )
        if not plot.save(self.out / "mouth_opening.png"):
            self.notes.append("mouth_opening.png is not drawn: no lips were read")
