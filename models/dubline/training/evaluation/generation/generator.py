"""Generates all videos that are scored: clips in three modes, portraits with speech, long speech.

One clip is in memory at a time.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

import numpy as np
from PIL import Image

from dubline.framing.face import find
from dubline.models.motion.readout import LinearReadout
from dubline.options.render import DEFAULT_CONTROLS
from dubline.training.corpus import read_clip
from dubline.training.evaluation.generation.animation import Animation
from dubline.training.evaluation.generation.generated import (
    GeneratedClip,
    GeneratedLongSpeech,
    GeneratedPortrait,
    Voice,
)
from dubline.training.evaluation.generation.motion_renderer import MotionRenderer
from dubline.training.evaluation.generation.portrait import sharpness_of
from dubline.training.evaluation.generation.video_writer import WrittenVideo, write_video
from dubline.training.evaluation.scores.picture import face_box, video_scores
from dubline.training.evaluation.scores.reference import FPS, of_clip
from dubline.training.evaluation.scores.window_boundary import BoundaryTally

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor

    from dubline.models.weights import Networks
    from dubline.training.corpus import Clip
    from dubline.training.evaluation.contact_sheet import ContactSheet
    from dubline.training.evaluation.generation.portrait import Portrait
    from dubline.training.evaluation.landmarks.client import LandmarkClient
    from dubline.training.evaluation.scores.sharpness import Box

#: Clips of this kind have facial motion without speech.
WITHOUT_SPEECH: Final = "expression"
#: Lips in silence as they are sampled.
UNHELD: Final = replace(DEFAULT_CONTROLS, shut_in_silence=0.0)
EDITED: Final = ("unheld", "unedited")
#: Modes of which landmarks are kept.
POINTED: Final = ("truth", "own", "speech")
#: Modes whose lids move by blinks only.
BLINKING: Final = ("speech", "unheld")
CLIPS_SHOWN: Final = 4
PORTRAITS_SHOWN: Final = 8
HUMANS_SHOWN: Final = 2
#: Identity is measured five times a second in long videos.
LONG_IDENTITY_EVERY: Final = 5


class Generator:
    """Generates videos, submits them for landmark detection and collects what the scores need.

    Args:
        networks: of one preset.
        out: folder for videos and sources.
        landmarks: client of the landmark process.
        sheet: contact sheet to fill.
    """

    def __init__(self, networks: Networks, out: Path, landmarks: LandmarkClient, sheet: ContactSheet) -> None:
        self.renderer, self.out, self.landmarks, self.sheet = MotionRenderer(networks), out, landmarks, sheet
        # Without a readout motion is rendered as it is sampled: no lip is held, no blink scheduled.
        unread = LinearReadout(networks.preset.diffusion.whitened).to(self.renderer.device)
        self.unread = replace(networks, readout=unread)
        self.window_boundaries = networks.preset.diffusion.window_boundaries
        self.boundary_tally = BoundaryTally()
        self.clips: list[GeneratedClip] = []
        self.portraits: list[GeneratedPortrait] = []
        self.longs: list[GeneratedLongSpeech] = []
        self.voices: list[Voice] = []
        self.driver: tuple[GeneratedClip, Tensor] | None = None
        self.sources: dict[str, Path] = {}

    def prepare_driver(self, path: Path) -> None:
        """Encode a clip's motion, to be transferred to the next clip."""
        clip, result = self._read(path)
        # Path of the video that `generate_clip` writes later.
        result.videos["truth"] = self._video(result.name, "truth")
        self.driver = (result, self.renderer.encode_motion(clip.frames))

    def generate_clip(self, path: Path) -> None:
        """Generate a clip from its own motion, from its speech, and from the motion of the clip before it.

        Speech is also generated without what edits the sampled motion: see `scores.overrides`.
        """
        clip, result = self._read(path)
        animation, count = Animation(self.renderer.networks, clip.frames[0]), len(clip.frames)
        own = self.renderer.encode_motion(clip.frames)
        motions = {"own": own}
        if clip.kind != WITHOUT_SPEECH:
            motions["speech"] = animation.sample_motion(clip.speech, count)
            motions["unheld"] = animation.sample_motion(clip.speech, count, UNHELD)
            motions["unedited"] = animation.sample_motion(clip.speech, count, networks=self.unread)
        if self.driver is not None:
            result.driver, motion = self.driver
            motions["driven"] = self.renderer.transfer_motion(animation.source, motion[:count])
        box = face_of(clip)
        shown = clip.frames[0] if len(self.clips) < CLIPS_SHOWN else None
        result.pictures["still"] = video_scores(np.broadcast_to(clip.frames[:1], clip.frames.shape), clip.frames, box)
        self._source(clip.name, clip.frames[0])
        self._write(result, "truth", clip.frames, shown)
        for mode, motion in motions.items():
            pictures = np.concatenate(list(animation.render(motion, blinks=mode in BLINKING)))
            result.pictures[mode] = video_scores(pictures, clip.frames[: len(pictures)], box)
            video = self._write(result, mode, pictures, None if mode in EDITED else shown)
            if mode == "speech":
                self.boundary_tally.add(np.array(video.differences), self.window_boundaries(count))
        if clip.kind == "speech":
            self.driver = (result, own)
            if result.labelled:
                self.voices.append(Voice(clip.name, clip.speech, count, result.reference, human=False))
        self.clips.append(result)

    def generate_portrait(self, portrait: Portrait, voice: Voice) -> None:
        """Generate a portrait driven by a voice."""
        name = f"{portrait.name}.{voice.name}"
        # Blinks depend on the seed: with a common one all portraits would blink in the same way.
        video = self._generate(name, portrait, voice.speech, voice.count, seed=len(self.portraits))
        self.landmarks.submit(video.path, self._source(f"photo.{portrait.name}", portrait.picture), points=True)
        before = sharpness_of(portrait.picture, portrait.face)
        ratios = {box: _median(video.sharpness[box]) / max(before[box], 1e-6) for box in before}
        shown = sum(result.voice.human == voice.human for result in self.portraits)
        if shown < (HUMANS_SHOWN if voice.human else PORTRAITS_SHOWN):
            self.sheet.add(portrait.name, voice.name, portrait.picture, video.stills)
        video.stills.clear()
        self.portraits.append(GeneratedPortrait(portrait.name, voice, video, ratios))

    def generate_long_speech(self, person: Portrait, speech: NDArray[np.float32]) -> None:
        """Generate a long speech of one portrait, to measure drift."""
        count = max(1, round(len(speech) / self.renderer.networks.preset.sample_rate_hz * FPS))
        video = self._generate(f"{person.name}.long", person, speech, count)
        self.landmarks.submit(video.path, self._source(f"photo.{person.name}", person.picture), LONG_IDENTITY_EVERY)
        self.sheet.add(person.name, f"{count / FPS:.0f} s", person.picture, video.stills)
        video.stills.clear()
        self.longs.append(GeneratedLongSpeech(person.name, count / FPS, video))

    def _read(self, path: Path) -> tuple[Clip, GeneratedClip]:
        clip = read_clip(path, self.renderer.networks.preset.size_px)
        with np.load(path.with_suffix(".npz")) as tracks:
            return clip, GeneratedClip(clip.name, clip.kind, clip.labelled, of_clip(clip, tracks))

    def _video(self, name: str, mode: str) -> Path:
        return self.out / "videos" / f"{name}.{mode}.mp4"

    def _write(
        self, result: GeneratedClip, mode: str, pictures: NDArray[np.uint8], shown: NDArray[np.uint8] | None
    ) -> WrittenVideo:
        """Write a clip in one mode; add it to the contact sheet beside the source `shown`, if given."""
        video = write_video(self._video(result.name, mode), [pictures], len(pictures))
        result.videos[mode] = video.path
        source = self.sources[result.name] if mode == "speech" else None
        self.landmarks.submit(video.path, source, points=mode in POINTED)
        if shown is not None:
            self.sheet.add(result.name, mode, shown, video.stills)
        return video

    def _generate(
        self, name: str, portrait: Portrait, speech: NDArray[np.float32], count: int, seed: int = 0
    ) -> WrittenVideo:
        animation = Animation(self.renderer.networks, portrait.still, portrait.face_in_still)
        frames = animation.render(animation.sample_motion(speech, count, seed=seed), blinks=True)
        video = write_video(self.out / "videos" / f"{name}.mp4", frames, count, portrait.face)
        self.boundary_tally.add(np.array(video.differences), self.window_boundaries(count))
        return video

    def _source(self, name: str, picture: NDArray[np.uint8]) -> Path:
        if name not in self.sources:
            path = self.out / "sources" / f"{name}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(picture).save(path)
            self.sources[name] = path
        return self.sources[name]


def _median(values: Sequence[float]) -> float:
    """Return the median of the finite values; 0 if there are none, because the face was never found."""
    return float(np.nanmedian(values)) if np.isfinite(values).any() else 0.0


def face_of(clip: Clip) -> Box:
    """Return the box that contains the face in all frames; without labels, the box around the first frame's face."""
    side = clip.frames.shape[1]
    if clip.landmarks is not None:
        return face_box(clip.landmarks, side)
    found = find(Image.fromarray(clip.frames[0]))
    if found is None:
        return slice(0, side), slice(0, side)
    corners = np.array([[found.left, found.top], [found.right, found.bottom]], np.float32)
    return face_box(corners * 2 / side - 1, side)
