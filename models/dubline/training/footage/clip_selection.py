"""Selects clips from a video and writes them: one face inside one fixed square, with its sound."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import TYPE_CHECKING, Final, NamedTuple

import av
import numpy as np
from PIL import Image

from dubline.framing.crop import SIDE_PER_BOX, Square, cut
from dubline.training.corpus import SAMPLE_RATE_HZ
from dubline.training.footage import video
from dubline.training.footage.face_track import DETECTION_TICKS, Tracker, around, contains, overhang
from dubline.training.footage.video import FPS, VideoError

if TYPE_CHECKING:
    from collections import defaultdict
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from dubline.training.footage.face_track import FaceTrack

SAMPLES_PER_TICK: Final = SAMPLE_RATE_HZ // FPS
#: A square may extend beyond the frame by this share of its side; there the border pixels are repeated.
MOST_OVERHANG: Final = 0.15
#: A track is refused if more than this share of its detections found a second face.
MOST_OTHER_FACES: Final = 0.2
#: A clip with a lower root mean square is silent: -54 dB of full scale.
SILENCE: Final = 0.002 * 32768


class SelectionRules(NamedTuple):
    """Requirements for a clip."""

    size_px: int = 256
    """Side of the clip's frames."""
    shortest_s: float = 3.0
    """Stage 2 needs windows of 64 frames and a few frames before them."""
    longest_s: float = 8.0
    smallest_face_px: float = 96.0
    """Width of the face in the source video. The square is 1.9 times as wide and is scaled to `size_px`."""


class ClipSpan(NamedTuple):
    """A range of ticks inside one square; `first` and `last` are both included."""

    first: int
    last: int
    square: Square

    @property
    def length_s(self) -> float:
        """Length in seconds."""
        return (self.last - self.first + 1) / FPS


class Selection(NamedTuple):
    """The spans to write from one video."""

    path: Path
    start_s: float
    """Timestamp of tick 0."""
    spans: list[ClipSpan]


def select_clips(path: Path, rules: SelectionRules, refused: defaultdict[str, float]) -> Selection:
    """Decode a video once and select its clips.

    Args:
        path: of the video.
        rules: requirements for a clip.
        refused: is increased by the refused seconds, by reason.

    Raises:
        VideoError: the video cannot be used.
        av.FFmpegError: the file is not a media file.
    """
    tracker, start_s, size = Tracker(), 0.0, (0, 0)
    tracks: list[FaceTrack] = []
    for tick in video.ticks(path):
        start_s, size = tick.start_s, video.shown_size(tick)
        tracks += tracker.update(tick)
    tracks += tracker.end()
    if not tracker.detections:
        raise VideoError("no frames")
    if tracker.faceless:
        refused["no face"] += tracker.faceless * DETECTION_TICKS / FPS
    selector = ClipSelector(rules, size, refused)
    return Selection(path, start_s, [span for track in tracks for span in selector.select(track)])


@dataclass(frozen=True)
class ClipSelector:
    """Cuts face tracks into spans and counts the refused seconds."""

    rules: SelectionRules
    size: tuple[int, int]
    """Width and height of the video, px."""
    refused: defaultdict[str, float]

    def select(self, track: FaceTrack) -> list[ClipSpan]:
        """Return the spans of one track."""
        if track.other_faces > MOST_OTHER_FACES * len(track.detections):
            self.refused["several faces"] += (track.last - track.first + 1) / FPS
            return []
        return self._divide(track, track.first, track.last)

    def _divide(self, track: FaceTrack, first: int, last: int) -> list[ClipSpan]:
        """Return the whole range as one span, or divide it if it is too long or the head leaves the square."""
        rules, length_s = self.rules, (last - first + 1) / FPS
        boxes = [box for tick, box in track.detections if first <= tick <= last]
        if length_s < rules.shortest_s or not boxes:
            self.refused["too short"] += length_s
            return []
        square = around(boxes)
        leaves = not all(contains(square, box) for box in boxes)
        if length_s > rules.longest_s or (leaves and length_s / 2 >= rules.shortest_s):
            parts = max(2, math.ceil(length_s / rules.longest_s))
            edges = np.linspace(first, last + 1, parts + 1).astype(int).tolist()
            return [span for begin, end in pairwise(edges) for span in self._divide(track, begin, end - 1)]
        faults = {
            "head leaves the square": leaves,
            "face too small": square.side / SIDE_PER_BOX < rules.smallest_face_px,
            "face at the edge": overhang(square, *self.size) > MOST_OVERHANG,
        }
        for reason in (reason for reason, applies in faults.items() if applies):
            self.refused[reason] += length_s
            return []
        return [ClipSpan(first, last, square)]


def write_clips(
    selection: Selection, target: Path, meta: dict[str, object], refused: defaultdict[str, float]
) -> list[float]:
    """Write each span as NAME-001.mp4 and NAME-001.npz and so on.

    The npz is written last, so a clip that has one is complete.

    Args:
        selection: of `select_clips`.
        target: path and NAME of the clips.
        meta: written to each npz; `size` is the side of the frames.
        refused: is increased by the seconds without speech.

    Returns:
        Length of each clip, s.

    Raises:
        VideoError: the video has no sound.
    """
    speech = video.speech(selection.path, selection.start_s)
    feed = video.ticks(selection.path)
    side_px = int(str(meta["size"]))
    lengths_s: list[float] = []
    for span in selection.spans:
        part = speech[span.first * SAMPLES_PER_TICK : (span.last + 1) * SAMPLES_PER_TICK]
        if not len(part) or np.sqrt(np.square(part, dtype=np.float64).mean()) < SILENCE:
            refused["silent"] += span.length_s
            continue
        clip = target.with_name(f"{target.name}-{len(lengths_s) + 1:03}.mp4")
        whole = np.pad(part, (0, (span.last + 1 - span.first) * SAMPLES_PER_TICK - len(part)))
        _write_mp4(clip, side_px, _pictures(feed, span, side_px), whole)
        tracks = {**meta, "start_s": span.first / FPS, "square": [span.square.left, span.square.top, span.square.side]}
        unfinished = clip.with_suffix(".part")
        with unfinished.open("wb") as file:
            np.savez(file, meta=json.dumps(tracks))
        unfinished.replace(clip.with_suffix(".npz"))
        lengths_s.append(span.length_s)
    return lengths_s


def _pictures(feed: Iterator[video.Tick], span: ClipSpan, side_px: int) -> Iterator[NDArray[np.uint8]]:
    """Yield the frames of a span; repeat the next frame in place of a missing one, to stay aligned with the sound."""
    expected = span.first
    for tick in feed:
        if tick.number < span.first:
            continue
        crop = Image.fromarray(cut(video.upright(tick), span.square))
        picture = np.asarray(crop.resize((side_px, side_px), Image.Resampling.LANCZOS))
        while expected <= min(tick.number, span.last):
            yield picture
            expected += 1
        if expected > span.last:
            return


def _write_mp4(path: Path, side_px: int, pictures: Iterable[NDArray[np.uint8]], speech: NDArray[np.int16]) -> None:
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", FPS, options={"crf": "17", "preset": "veryfast"})
        video.height = video.width = side_px
        video.pix_fmt, video.time_base = "yuv420p", Fraction(1, FPS)
        video.codec_context.thread_count = 1
        audio = container.add_stream("aac", SAMPLE_RATE_HZ, layout="mono", bit_rate=64_000)
        for picture in pictures:
            container.mux(video.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
        container.mux(video.encode())
        sound = av.AudioFrame.from_ndarray(speech[None], "s16", "mono")
        sound.sample_rate, sound.pts, sound.time_base = SAMPLE_RATE_HZ, 0, Fraction(1, SAMPLE_RATE_HZ)
        for frame in av.AudioResampler("fltp", "mono", SAMPLE_RATE_HZ).resample(sound):
            container.mux(audio.encode(frame))
        container.mux(audio.encode())
