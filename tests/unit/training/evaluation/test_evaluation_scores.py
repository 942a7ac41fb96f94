"""Evaluation scores on signals with known scores."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from dubline.training.corpus import Clip
from dubline.training.evaluation.generation.generated import GeneratedClip
from dubline.training.evaluation.landmarks.client import FaceMeasurements
from dubline.training.evaluation.scores.mouth_opening import LipTally, best_lag, closed, correlation, shut_vowels
from dubline.training.evaluation.scores.overrides import override_scores
from dubline.training.evaluation.scores.picture import MAX_PSNR_DB, face_box, video_scores
from dubline.training.evaluation.scores.reference import Reference, eroded, loudness, of_clip, of_recording, runs
from dubline.training.evaluation.scores.sharpness import drift, sharpness, worse
from dubline.training.evaluation.scores.summary import OWN, SPEECH, Scores
from dubline.training.evaluation.scores.talkers import talker_scores
from dubline.training.evaluation.scores.window_boundary import BoundaryTally

WHOLE = (slice(None), slice(None))


def talking(count: int = 200, seed: int = 0) -> np.ndarray:
    steps = np.random.default_rng(seed).uniform(0, 0.1, count)
    return np.convolve(steps, np.ones(4) / 4, mode="same")


def reference(opening: np.ndarray) -> Reference:
    half = np.arange(len(opening)) < len(opening) // 2
    return Reference(opening, opening, (range(50, 53), range(120, 122)), (80, 150), half, ~half)


def test_a_delay_of_three_frames_is_a_lag_of_three() -> None:
    opening = talking()
    assert best_lag(np.roll(opening, 3), opening) == 3
    assert best_lag(np.roll(opening, -5), opening) == -5
    assert best_lag(opening, opening) == 0


@pytest.mark.parametrize("count", [1, 2, 3, 8, 14, 15, 16, 30])
def test_the_lag_of_a_short_opening_is_at_most_half_of_it(count: int) -> None:
    opening = talking(count)
    tally = LipTally()
    tally.add(opening, reference(opening))
    lag = best_lag(talking(count, seed=1), opening)
    assert np.isnan(lag) or abs(lag) <= count // 2
    assert count < 3 or best_lag(opening, opening) == 0


def test_the_loudness_of_one_frame_is_smoothed_with_silence_on_both_sides() -> None:
    tone = np.full(640, 0.3, np.float32)
    assert loudness(tone, 1).tolist() == pytest.approx([0.1])
    assert loudness(np.tile(tone, 2), 2).tolist() == pytest.approx([0.2, 0.2])


def test_a_constant_opening_has_no_correlation_and_no_lag() -> None:
    still = np.full(200, 0.05)
    assert correlation(still, talking()) == 0
    assert np.isnan(best_lag(still, talking()))


def test_frames_without_a_face_are_ignored() -> None:
    opening = talking()
    lost = opening.copy()
    lost[::7] = np.nan
    assert correlation(lost, opening) == pytest.approx(1)
    assert best_lag(lost, opening) == 0


def test_a_closure_two_frames_away_counts_and_three_away_does_not() -> None:
    opening = np.full(200, 0.05)
    opening[48] = 0.001
    opening[124] = 0.001
    assert closed(opening, [range(50, 53), range(120, 122)]) == (1, 2)


def test_a_closure_without_known_opening_is_not_counted() -> None:
    opening = np.full(200, np.nan)
    opening[120] = 0.0
    assert closed(opening, [range(50, 53), range(120, 122)]) == (1, 1)


def test_a_mouth_that_never_opens_meets_closures_and_fails_vowels() -> None:
    shut = np.zeros(200)
    assert closed(shut, [range(50, 53)]) == (1, 1)
    assert shut_vowels(shut, [80, 150, 999]) == (2, 2)


def test_half_the_lip_speed_in_silence_scores_one_half() -> None:
    opening = np.zeros(200)
    opening[:100:2], opening[100::2] = 0.01, 0.02
    tally = LipTally()
    tally.add(opening, reference(talking()))
    assert tally.scores()["silence_motion"] == pytest.approx(0.5, abs=0.01)


def test_the_truth_itself_has_perfect_scores() -> None:
    opening = talking() + 0.02
    for span in ((50, 53), (120, 122)):
        opening[slice(*span)] = 0.0
    tally = LipTally()
    tally.add(opening, reference(opening))
    scores = tally.scores()
    assert scores["lip_correlation"] == pytest.approx(1)
    assert (scores["av_lag_ms"], scores["closure_rate"], scores["false_closure_rate"]) == (0, 1, 0)


def test_an_empty_tally_scores_nan() -> None:
    assert all(np.isnan(score) for score in LipTally().scores().values())


def test_a_jump_at_each_window_boundary_raises_the_metric() -> None:
    differences = np.random.default_rng(0).uniform(0.9, 1.1, 599)
    smooth, jumping = BoundaryTally(), BoundaryTally()
    smooth.add(differences, range(60, 600, 60))
    differences[59::60] *= 2
    jumping.add(differences, range(60, 600, 60))
    assert smooth.scores()["boundary_ratio"] == pytest.approx(1, abs=0.1)
    assert 0.2 < smooth.scores()["above"] < 0.8
    assert jumping.scores()["boundary_ratio"] == pytest.approx(2, abs=0.2)
    assert (jumping.scores()["boundaries"], jumping.scores()["above"]) == (9, 1)


def test_a_slide_after_a_window_boundary_raises_the_metric_too() -> None:
    differences = np.random.default_rng(0).uniform(0.9, 1.1, 599)
    for boundary in range(60, 600, 60):
        differences[boundary : boundary + 14] *= 2
    sliding = BoundaryTally()
    sliding.add(differences, range(60, 600, 60))
    assert sliding.scores()["step_ratio"] == pytest.approx(1, abs=0.1)
    assert sliding.scores()["boundary_ratio"] == pytest.approx(2, abs=0.2)


def test_a_video_of_one_window_has_no_boundary_ratio() -> None:
    tally = BoundaryTally()
    tally.add(np.ones(50), range(60, 50, 60))
    assert np.isnan(tally.scores()["boundary_ratio"])


def test_drift_is_the_last_tenth_over_the_first_tenth() -> None:
    assert drift([10.0] * 10 + [9.0] * 80 + [8.0] * 10) == pytest.approx(0.8)
    assert drift([2.0] * 4 + [10.0] * 96) == 1
    assert drift([3.0] * 60 + [float("nan")] * 40) == 0
    assert np.isnan(drift([float("nan")] * 50 + [3.0] * 50))
    assert np.isnan(drift([]))


def test_the_worse_of_two_ratios_is_farther_from_one() -> None:
    assert worse(0.9, 1.05) == 0.9
    assert worse(0.9, 1.5) == 1.5
    assert worse(float("nan"), 1.01) == 1.01
    assert worse(-0.06, 1.0, 3.0) == 0


def test_a_blurred_picture_has_less_sharpness() -> None:
    picture = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    image = Image.fromarray(picture)
    blurred = np.asarray(image.resize((32, 32)).resize((64, 64)))
    assert sharpness(blurred, WHOLE) < 0.3 * sharpness(picture, WHOLE)
    assert sharpness(np.full((64, 64, 3), 9, np.uint8), WHOLE) == 0


def test_a_changed_face_lowers_the_psnr_of_its_box_most() -> None:
    truth = np.random.default_rng(0).integers(0, 255, (9, 32, 32, 3), np.uint8)
    box = face_box(np.zeros((9, 68, 2), np.float32), 32)
    changed = truth.copy()
    changed[:, box[0], box[1]] //= 2
    assert video_scores(truth, truth, box) == {"psnr": MAX_PSNR_DB, "ssim": 1.0, "face_psnr": MAX_PSNR_DB}
    scores = video_scores(changed, truth, box)
    assert scores["face_psnr"] < scores["psnr"] < MAX_PSNR_DB


def test_silence_starts_some_frames_away_from_speech() -> None:
    silent = np.ones(40, bool)
    silent[10:20] = False
    assert runs(eroded(silent, 3)) == [range(7), range(23, 40)]


def test_a_reference_has_closures_and_open_vowels_away_from_them() -> None:
    frames = np.zeros((50, 8, 8, 3), np.uint8)
    opening = np.linspace(-1, 5, 50, dtype=np.float32)
    clip = Clip("a", "speech", True, frames, np.zeros(32_000, np.float32), None, None, opening)
    bilabial = np.zeros(50)
    bilabial[10:13] = 1
    times = [[0.2, 0.4], [0.4, 0.48], [0.48, 0.56], [0.8, 1.0], [1.0, 1.2], [1.2, 2.0]]
    phonemes = ["ˈa", "m", "ɐ", "aɪ", "iː", "_:"]  # noqa: RUF001 - IPA
    tracks = {"bilabial": bilabial, "phoneme": phonemes, "phoneme_time": times}
    expected = of_clip(clip, tracks)
    assert expected.closures == (range(10, 13),)
    assert expected.vowels == (8, 22)
    assert runs(expected.spoken) == [range(5, 14), range(20, 30)]
    assert runs(expected.silent) == [range(2), range(33, 50)]
    assert expected.opening.min() == 0


def test_a_recording_is_silent_where_its_loudness_is_low() -> None:
    tone = np.sin(np.arange(50 * 640) / 5).astype(np.float32)
    tone[20 * 640 : 40 * 640] *= 0.01
    known = of_recording(tone, 50)
    assert runs(known.silent) == [range(24, 36)]
    assert known.spoken[:19].all()
    assert loudness(tone, 60)[55] == 0


def measured(opening: np.ndarray, between: float = 0.4, eyes: np.ndarray | None = None) -> FaceMeasurements:
    return FaceMeasurements(
        opening, np.full(len(opening), between), np.ones(len(opening)) if eyes is None else eyes, np.empty(0), None
    )


def recorded(name: str, opening: np.ndarray, made: np.ndarray, **seen: float) -> tuple[GeneratedClip, dict]:
    result = GeneratedClip(name, "speech", labelled=False, reference=reference(opening))
    result.videos = {mode: Path(f"{name}.{mode}") for mode in ("truth", "speech", "unedited")}
    faces = {"truth": measured(opening), "speech": measured(made, **seen), "unedited": measured(made)}
    return result, {result.videos[mode]: face for mode, face in faces.items()}


def test_a_talker_that_opens_half_as_wide_and_late_is_scored_so() -> None:
    truths = [talking(seed=1), talking(seed=2)]
    pairs = [recorded(str(i), truth, np.roll(truth, 2) / 2, between=0.2) for i, truth in enumerate(truths)]
    faces = {**pairs[0][1], **pairs[1][1]}
    scores = talker_scores([result for result, _ in pairs], faces)
    assert scores["recordings"] == 2
    assert scores["av_lag_ms"] == 80
    assert scores["spread_ratio"] == pytest.approx(0.5, abs=0.01)
    assert scores["teeth_ratio"] == pytest.approx(0.5)
    assert scores["lip_correlation"] > scores["wrong_sound"] + 0.2
    assert scores["loudness_correlation_of_recordings"] == pytest.approx(1)
    assert talker_scores([], faces) == {}


def test_edits_are_scored_beside_motion_as_it_is_sampled() -> None:
    opening = talking()
    still_in_silence = np.where(np.arange(200) < 100, 0.0, opening)
    result, faces = recorded("a", opening, opening)
    faces[result.videos["speech"]] = measured(still_in_silence, eyes=np.where(np.arange(200) % 100 < 5, 0.3, 1.0))
    rows = override_scores([result], {"a": result.reference}, faces)
    assert rows["as released"]["silence_motion"] == 0
    assert rows["as sampled"]["silence_motion"] == pytest.approx(1, abs=0.2)
    assert rows["as released"]["blink_rate"] == pytest.approx(15)
    assert rows["as sampled"]["blink_rate"] == 0
    assert np.isnan(rows["shut_in_silence 0"]["lip_correlation"])


def test_a_clip_of_a_few_frames_has_no_picture_scores() -> None:
    opening = talking()
    pictures = {"psnr": 30.0, "ssim": 0.9, "face_psnr": 25.0}
    still = {"psnr": 20.0, "ssim": 0.8, "face_psnr": 22.0}
    frame = np.zeros((4, 32, 32, 3), np.uint8)
    scored = [{"still": still, "own": pictures}, {"still": still, "own": video_scores(frame, frame, WHOLE)}]
    clips = [GeneratedClip("a", "expression", True, reference(opening), pictures=each) for each in scored]
    table = Scores(SimpleNamespace(clips=clips, portraits=[]), {}).table()  # type: ignore[arg-type]
    assert table[OWN]["psnr"] == 30
    assert table[OWN]["face_gain_db"] == 3
    assert "psnr" not in table[SPEECH]


def test_the_first_frame_which_is_the_source_has_no_part_in_identity() -> None:
    video, nothing = Path("a.speech.mp4"), np.empty(0)
    clip = GeneratedClip("a", "speech", True, reference(talking()), videos={"speech": video})
    faces = {video: FaceMeasurements(nothing, nothing, nothing, np.array([1, 0.5, np.nan, 0.7]), None)}
    scores = Scores(SimpleNamespace(clips=[clip], portraits=[]), faces)  # type: ignore[arg-type]
    assert scores.clip_identity() == pytest.approx(0.6)
