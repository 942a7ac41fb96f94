"""Films everything that is scored: clips in three modes, portraits that speak, long speech. Holds one clip at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from PIL import Image

from dubline.framing.face import find
from dubline.training.corpus import read_clip
from dubline.training.evaluation.generation.generated import ClipTake, LongTake, PortraitTake, Voice
from dubline.training.evaluation.generation.playback import Performer
from dubline.training.evaluation.generation.portrait import sharpness_of
from dubline.training.evaluation.generation.video import Film, shoot
from dubline.training.evaluation.scores.picture import face_box, video_scores
from dubline.training.evaluation.scores.reference import FPS, of_clip
from dubline.training.evaluation.scores.window_boundary import SeamTally

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor

    from dubline.models.weights import Networks
    from dubline.training.corpus import Clip
    from dubline.training.evaluation.contact_sheet import ContactSheet
    from dubline.training.evaluation.generation.portrait import Portrait
    from dubline.training.evaluation.landmarks.client import Examiner
    from dubline.training.evaluation.scores.sharpness import Box

#: A clip of this kind moves its face without a sound: its speech asks nothing of the lips.
WORDLESS: Final = "expression"
CLIPS_SHOWN: Final = 4
PORTRAITS_SHOWN: Final = 8
HUMANS_SHOWN: Final = 2
#: Looks at the person in a long video: five a second.
LONG_IDENTITY_EVERY: Final = 5


class Studio:
    """Plays, films and has faces read; keeps what the scores need."""

    def __init__(self, networks: Networks, out: Path, examiner: Examiner, sheet: ContactSheet) -> None:
        self.performer, self.out, self.examiner, self.sheet = Performer(networks), out, examiner, sheet
        self.borders = networks.preset.diffusion.borders
        self.seams = SeamTally()
        self.clips: list[ClipTake] = []
        self.portraits: list[PortraitTake] = []
        self.longs: list[LongTake] = []
        self.voices: list[Voice] = []
        self.driver: tuple[ClipTake, Tensor] | None = None
        self.sources: dict[str, Path] = {}

    def see_driver(self, path: Path) -> None:
        """Remember a clip's motion, for the next clip to borrow."""
        clip, take = self._read(path)
        # Where its truth will lie, once it has been filmed itself.
        take.videos["truth"] = self._video(take.name, "truth")
        self.driver = (take, self.performer.own_motion(clip.frames))

    def film_clip(self, path: Path) -> None:
        """Film a labelled clip with its own motion, its speech, and the motion of the clip before it."""
        clip, take = self._read(path)
        source, count = self.performer.source(clip.frames[0]), len(clip.frames)
        own = self.performer.own_motion(clip.frames)
        motions = {"own": own}
        if clip.kind != WORDLESS:
            motions["speech"] = self.performer.spoken_motion(source, clip.speech, count)
        if self.driver is not None:
            take.driver, motion = self.driver
            motions["driven"] = self.performer.borrowed_motion(source, motion[:count])
        box = _face(clip)
        shown = clip.frames[0] if len(self.clips) < CLIPS_SHOWN else None
        take.pictures["still"] = video_scores(np.broadcast_to(clip.frames[:1], clip.frames.shape), clip.frames, box)
        self._source(clip.name, clip.frames[0])
        self._film(take, "truth", clip.frames, shown)
        for mode, motion in motions.items():
            pictures = np.concatenate(list(self.performer.play(source, motion)))
            take.pictures[mode] = video_scores(pictures, clip.frames[: len(pictures)], box)
            film = self._film(take, mode, pictures, shown)
            if mode == "speech":
                self.seams.add(np.array(film.differences), self.borders(count))
        if clip.kind == "speech":
            self.driver = (take, own)
            if take.labelled:
                self.voices.append(Voice(clip.name, clip.speech, count, take.reference, human=False))
        self.clips.append(take)

    def film_portrait(self, portrait: Portrait, voice: Voice) -> None:
        """Film a portrait that speaks with a voice."""
        name = f"{portrait.name}.{voice.name}"
        film = self._speak(name, portrait, voice.speech, voice.count)
        self.examiner.ask(film.path, self._source(f"photo.{portrait.name}", portrait.picture))
        before = sharpness_of(portrait.picture, portrait.face)
        ratios = {box: _median(film.sharpness[box]) / max(before[box], 1e-6) for box in before}
        shown = sum(take.voice.human == voice.human for take in self.portraits)
        if shown < (HUMANS_SHOWN if voice.human else PORTRAITS_SHOWN):
            self.sheet.add(portrait.name, voice.name, portrait.picture, film.stills)
        film.stills.clear()
        self.portraits.append(PortraitTake(portrait.name, voice, film, ratios))

    def film_long(self, person: Portrait, speech: NDArray[np.float32]) -> None:
        """Film a long speech of one portrait, watching whether its face drifts."""
        count = max(1, round(len(speech) / self.performer.networks.preset.sample_rate_hz * FPS))
        film = self._speak(f"{person.name}.long", person, speech, count)
        self.examiner.ask(film.path, self._source(f"photo.{person.name}", person.picture), LONG_IDENTITY_EVERY)
        self.sheet.add(person.name, f"{count / FPS:.0f} s", person.picture, film.stills)
        film.stills.clear()
        self.longs.append(LongTake(person.name, count / FPS, film))

    def _read(self, path: Path) -> tuple[Clip, ClipTake]:
        clip = read_clip(path, self.performer.networks.preset.size_px)
        with np.load(path.with_suffix(".npz")) as tracks:
            return clip, ClipTake(clip.name, clip.kind, clip.labelled, of_clip(clip, tracks))

    def _video(self, name: str, mode: str) -> Path:
        return self.out / "videos" / f"{name}.{mode}.mp4"

    def _film(self, take: ClipTake, mode: str, pictures: NDArray[np.uint8], shown: NDArray[np.uint8] | None) -> Film:
        """Film a clip in one mode; on the contact sheet beside the source `shown`, if there is one."""
        film = shoot(self._video(take.name, mode), [pictures], len(pictures))
        take.videos[mode] = film.path
        self.examiner.ask(film.path, self.sources[take.name] if mode == "speech" else None)
        if shown is not None:
            self.sheet.add(take.name, mode, shown, film.stills)
        return film

    def _speak(self, name: str, portrait: Portrait, speech: NDArray[np.float32], count: int) -> Film:
        source = self.performer.source(portrait.picture)
        motion = self.performer.spoken_motion(source, speech, count)
        film = shoot(self.out / "videos" / f"{name}.mp4", self.performer.play(source, motion), count, portrait.face)
        self.seams.add(np.array(film.differences), self.borders(count))
        return film

    def _source(self, name: str, picture: NDArray[np.uint8]) -> Path:
        if name not in self.sources:
            path = self.out / "sources" / f"{name}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(picture).save(path)
            self.sources[name] = path
        return self.sources[name]


def _median(values: Sequence[float]) -> float:
    """Of those that are known; a face that is found nowhere has lost everything: 0."""
    return float(np.nanmedian(values)) if np.isfinite(values).any() else 0.0


def _face(clip: Clip) -> Box:
    """The box that holds the face in all frames; without labels, around the first frame's."""
    side = clip.frames.shape[1]
    if clip.landmarks is not None:
        return face_box(clip.landmarks, side)
    found = find(Image.fromarray(clip.frames[0]))
    if found is None:
        return slice(0, side), slice(0, side)
    corners = np.array([[found.left, found.top], [found.right, found.bottom]], np.float32)
    return face_box(corners * 2 / side - 1, side)
