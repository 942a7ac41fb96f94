"""Summarises measurements into scores: the table's rows, portraits, human voices, long speech."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from dubline.training.evaluation.scores.head_motion import jaw_share, largest_step
from dubline.training.evaluation.scores.mouth_opening import SHUT, LipTally, correlation
from dubline.training.evaluation.scores.overrides import override_scores
from dubline.training.evaluation.scores.picture import means
from dubline.training.evaluation.scores.reference import LOUD_PERCENTILE
from dubline.training.evaluation.scores.sharpness import drift, worse
from dubline.training.evaluation.scores.talkers import talker_scores

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from dubline.training.evaluation.generation.generated import GeneratedClip, GeneratedPortrait
    from dubline.training.evaluation.generation.generator import Generator
    from dubline.training.evaluation.landmarks.client import FaceMeasurements
    from dubline.training.evaluation.scores.reference import Reference

    Rows = dict[str, dict[str, float]]

NAN: Final = float("nan")
TRUTH: Final = "ground truth"
STILL: Final = "still frame"
BASELINE: Final = "loudness baseline"
OTHER_MOTION: Final = "other clip's motion"
OWN: Final = "own motion"
SPEECH: Final = "speech"
DRIVEN: Final = "driven by a clip"
PORTRAITS: Final = "speech on portraits"
#: Rows of how far chins follow the lips, by mode.
JAWS: Final = {"truth": TRUTH, "own": OWN, "speech": SPEECH}
#: Frames of a human voice above this percentile of loudness should have an open mouth.
LOUD_FRAMES_PERCENTILE: Final = 75


class Scores:
    """All scores of one evaluation.

    Args:
        generator: the generated videos.
        faces: measurements by video; videos without measurements score NaN.
    """

    def __init__(self, generator: Generator, faces: Mapping[Path, FaceMeasurements]) -> None:
        self.generator, self.faces = generator, faces

    def table(self) -> Rows:
        """Return the scores of the clips, one row for each way of making the frames."""
        tallies = {name: LipTally() for name in (TRUTH, STILL, BASELINE, OTHER_MOTION, OWN, SPEECH, DRIVEN, PORTRAITS)}
        for result in self.generator.clips:
            self._tally(result, tallies)
        for portrait in self.generator.portraits:
            measured = self.faces.get(portrait.video.path)
            if measured and not portrait.voice.human:
                tallies[PORTRAITS].add(measured.opening, portrait.voice.reference)
        table = {name: tally.scores() for name, tally in tallies.items()}
        table[BASELINE]["lip_correlation"] = self._baseline_correlation()
        for name, mode in ((STILL, "still"), (OTHER_MOTION, "driven"), (OWN, "own"), (SPEECH, "speech")):
            # A video of a few frames has no picture scores.
            scored = [result.pictures for result in self.generator.clips if result.pictures.get(mode)]
            listed, still = (means([pictures[key] for pictures in scored]) for key in (mode, "still"))
            if scored:
                gain = {"face_gain_db": listed["face_psnr"] - still["face_psnr"]}
                table[name] = {**listed, **gain, **table[name]}
        return table

    def _tally(self, result: GeneratedClip, tallies: Mapping[str, LipTally]) -> None:
        if "speech" not in result.videos:
            return
        reference = self._reference(result)
        for row, mode in ((TRUTH, "truth"), (OWN, "own"), (SPEECH, "speech"), (OTHER_MOTION, "driven")):
            opening = self._opening(result.videos.get(mode))
            if opening is not None:
                tallies[row].add(opening, reference)
                if mode == "driven" and result.driver is not None:
                    tallies[DRIVEN].add(opening, self._reference(result.driver))
        truth = self._opening(result.videos["truth"])
        if truth is not None:
            tallies[STILL].add(np.full(len(truth), truth[0]), reference)
            tallies[BASELINE].add(loudness_baseline(result, truth), reference)

    def _opening(self, path: Path | None) -> NDArray[np.float64] | None:
        measured = self.faces.get(path) if path else None
        return None if measured is None else measured.opening

    def _reference(self, result: GeneratedClip) -> Reference:
        """Return a clip's reference; without labels its opening is the one measured on its own frames."""
        truth = None if result.labelled else self._opening(result.videos.get("truth"))
        return result.reference if truth is None else replace(result.reference, opening=truth)

    def _baseline_correlation(self) -> float:
        """Return the correlation of the loudness with the true opening."""
        # Without labels and without measurements the opening would be the loudness itself.
        known = [
            self._reference(result)
            for result in self.generator.clips
            if result.kind == "speech" and (result.labelled or self._opening(result.videos.get("truth")) is not None)
        ]
        moving = [reference for reference in known if np.nanstd(reference.opening) > 0]
        return _mean([correlation(reference.loudness, reference.opening) for reference in moving])

    def overrides(self) -> Rows:
        """Score speech with and without the edits of the sampled motion."""
        spoken = [result for result in self.generator.clips if "speech" in result.videos]
        return override_scores(spoken, {result.name: self._reference(result) for result in spoken}, self.faces)

    def talkers(self) -> dict[str, float]:
        """Score the clips without labels against their recordings."""
        return talker_scores(self.generator.clips, self.faces)

    def portraits(self) -> dict[str, float]:
        """Score photographs driven by corpus voices.

        `identity_of_strangers` is the mean cosine of two different photographs.
        """
        results = [result for result in self.generator.portraits if not result.voice.human]
        seen = [self.faces[result.video.path] for result in results if result.video.path in self.faces]
        people = {
            result.portrait: self.faces[result.video.path].person
            for result in results
            if result.video.path in self.faces
        }
        known = [person for person in people.values() if person is not None]
        pairs = [float(a @ b) for a, b in itertools.combinations(known, 2)]
        return {
            "photos": len(results),
            "photo_faces": _mean([measured.found_share for measured in seen]),
            "photo_identity": _identity(seen),
            "identity_of_strangers": _mean(pairs),
            "photo_sharpness": _mean([result.sharpness["mouth"] for result in results]),
            "photo_face_sharpness": _mean([result.sharpness["face"] for result in results]),
            "photo_head_step": max((largest_step(points) for points in _points(seen)), default=NAN),
            "photo_jaw": _mean([jaw_share(points) for points in _points(seen)]),
        }

    def clip_faces(self) -> float:
        """Return the share of frames of the clips' speech videos in which a face is found."""
        paths = [result.videos["speech"] for result in self.generator.clips if "speech" in result.videos]
        return _mean([self.faces[path].found_share for path in paths if path in self.faces])

    def clip_identity(self) -> float:
        """Return the mean cosine of the faces in the clips' speech videos with the faces of their sources."""
        paths = [result.videos["speech"] for result in self.generator.clips if "speech" in result.videos]
        return _identity([self.faces[path] for path in paths if path in self.faces])

    def jaws(self) -> dict[str, float]:
        """Return how far chins follow the lips in the clips' own frames, by their own motion and by speech."""
        spoken = [result.videos for result in self.generator.clips if "speech" in result.videos]
        measured = {
            mode: [self.faces[videos[mode]] for videos in spoken if videos[mode] in self.faces] for mode in JAWS
        }
        return {row: _mean([jaw_share(points) for points in _points(measured[mode])]) for mode, row in JAWS.items()}

    def human(self) -> dict[str, float]:
        """Score human voices, for which only the loudness is known."""
        results = [result for result in self.generator.portraits if result.voice.human]
        tally, resting, loud = LipTally(), [], []
        for result in results:
            opening = self._opening(result.video.path)
            if opening is not None:
                tally.add(opening, result.voice.reference)
                rest, shut = _rest_and_loud(opening, result)
                resting.append(rest)
                loud.append(shut)
        scores = tally.scores()
        return {
            "recordings": len(results),
            "loudness_correlation": scores["lip_correlation"],
            "av_lag_ms": scores["av_lag_ms"],
            "silence_motion": scores["silence_motion"],
            "shut_in_silence": _mean(resting),
            "shut_when_loud": _mean(loud),
        }

    def long(self) -> dict[str, Any]:
        """Return the window-boundary scores of sampled videos and the drift of long speeches; `drift` is the worst."""
        drifts = {}
        for result in self.generator.longs:
            measured = self.faces.get(result.video.path)
            drifts[result.name] = {
                "seconds": result.seconds,
                "sharpness": drift(result.video.sharpness["face"]),
                "identity": drift(measured.identity.tolist()) if measured else NAN,
            }
        ratios = [ratio[key] for ratio in drifts.values() for key in ("sharpness", "identity")]
        return {**self.generator.boundary_tally.scores(), "drift": worse(*ratios), "drifts": drifts}

    def clips(self) -> list[dict[str, Any]]:
        """List the scores of each clip."""
        listed = []
        for result in self.generator.clips:
            lips = {}
            for mode in result.videos:
                opening, tally = self._opening(result.videos[mode]), LipTally()
                if opening is not None:
                    follows = result.driver if mode == "driven" and result.driver else result
                    tally.add(opening, self._reference(follows))
                    lips[mode] = tally.scores()
            listed.append({"clip": result.name, "kind": result.kind, "pictures": result.pictures, "lips": lips})
        return listed


def loudness_baseline(result: GeneratedClip, truth: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the baseline opening (T,): loudness, scaled so that the loudest 5 % open as wide as the truth."""
    loudness = result.reference.loudness
    loud, wide = np.percentile(loudness, LOUD_PERCENTILE), truth[np.isfinite(truth)]
    if loud == 0 or not len(wide):
        return np.zeros(len(loudness))
    return np.asarray(loudness / loud * np.percentile(wide, LOUD_PERCENTILE))


def _rest_and_loud(opening: NDArray[np.float64], result: GeneratedPortrait) -> tuple[float, float]:
    """Return the share of silent frames and the share of loud frames with closed lips."""
    known = result.voice.reference
    count = min(len(opening), len(known.loudness))
    shut, seen = opening[:count] < SHUT, np.isfinite(opening[:count])
    loud = known.loudness[:count] >= np.percentile(known.loudness, LOUD_FRAMES_PERCENTILE)
    rest = known.silent[:count] & seen
    return _share(shut[rest]), _share(shut[loud & seen])


def _identity(seen: Sequence[FaceMeasurements]) -> float:
    """Return the mean cosine of videos with their sources, without first frames, which are nearly the sources."""
    later = [measured.identity[1:] for measured in seen]
    return _mean([float(np.nanmean(cosines)) for cosines in later if np.isfinite(cosines).any()])


def _points(seen: Sequence[FaceMeasurements]) -> list[NDArray[np.float64]]:
    return [measured.points for measured in seen if measured.points is not None]


def _share(flags: NDArray[np.bool_]) -> float:
    return float(flags.mean()) if len(flags) else NAN


def _mean(values: list[float]) -> float:
    known = [value for value in values if np.isfinite(value)]
    return float(np.mean(known)) if known else NAN
