"""Selection of held-out clips whose person, voice and sentences occur in no training clip."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest

from dubline.training.evaluation.heldout import unseen_clips

if TYPE_CHECKING:
    from pathlib import Path


def clip(path: Path, split: str, voice: str, text: str, kind: str = "speech", **more: str) -> None:
    folder, name = path.parent, path.name
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.mp4").touch()
    meta = {"kind": kind, "split": split, "voice": voice, "text": text, **more}
    np.savez(folder / f"{name}.npz", meta=json.dumps(meta))


def test_a_clip_with_a_voice_or_sentence_of_training_is_excluded(tmp_path: Path) -> None:
    clips, more = tmp_path / "clips", tmp_path / "more"
    clip(clips / "0", "train", "ann", "Good morning. How are you?")
    clip(more / "1", "train", "bob", "It rains.")
    clip(clips / "2", "heldout", "eve", "All is new!")
    clip(clips / "3", "heldout", "ann", "All is new!")
    clip(clips / "4", "heldout", "eve", "Something else. how are you?")
    clip(clips / "5", "heldout", "bob", "All is new!")
    clip(clips / "6", "heldout", "ann", "", kind="silent")
    kept, excluded = unseen_clips(clips, [more])
    assert [path.stem for path in kept] == ["2", "6"]
    assert excluded == 3
    assert [path.stem for path in unseen_clips(clips)[0]] == ["2", "5", "6"]


def test_footage_without_voice_and_text_is_held_out_by_person(tmp_path: Path) -> None:
    for name, split in (("0", "train"), ("1", "heldout")):
        clip(tmp_path / name, split, "", "")
    assert [path.stem for path in unseen_clips(tmp_path)[0]] == ["1"]


def test_a_person_of_another_training_folder_is_excluded(tmp_path: Path) -> None:
    clips, more = tmp_path / "clips", tmp_path / "more"
    clip(more / "0", "train", "", "", person="anna")
    clip(clips / "1", "heldout", "", "", person="anna")
    clip(clips / "2", "heldout", "", "", person="ben")
    clip(clips / "3", "heldout", "", "", kind="silent", person="anna")
    assert unseen_clips(clips, [more]) == ([clips / "2.mp4"], 2)


def test_each_training_folder_must_have_training_clips(tmp_path: Path) -> None:
    for name, split in (("0", "train"), ("1", "heldout")):
        clip(tmp_path / "clips" / name, split, "", "")
    with pytest.raises(FileNotFoundError, match=r"no training clips .*mispelt"):
        unseen_clips(tmp_path / "clips", [tmp_path / "clips", tmp_path / "mispelt"])


def test_a_folder_without_unseen_clips_is_an_error(tmp_path: Path) -> None:
    for name, split in (("0", "train"), ("1", "heldout")):
        clip(tmp_path / name, split, "ann", "Hello.")
    with pytest.raises(FileNotFoundError, match="every held-out clip"):
        unseen_clips(tmp_path)
