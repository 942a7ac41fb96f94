"""Encoding of clips for stage 2: once, and again if they change."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import torch
from tests.unit.training.conftest import SMALL

from dubline.models.stage1.autoencoder import Autoencoder
from dubline.training.stage1.supervised_autoencoder import SupervisedAutoencoder
from dubline.training.stage2.encoded_clips import EncodedClip, encode, encode_all, encode_corpus, stamp
from dubline.training.stage2.mixture import person_of
from dubline.training.stage2.waveform_augmentation import AugmentedSpeech

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from dubline.training.corpus import Clip


@pytest.fixture(scope="module")
def model() -> SupervisedAutoencoder:
    torch.manual_seed(0)
    return SupervisedAutoencoder(SMALL.autoencoder, 2).eval()


def test_a_corpus_is_encoded_once(clips: list[Clip], model: SupervisedAutoencoder, tmp_path: Path) -> None:
    read: list[str] = []

    def stream(given: list[Clip]) -> Iterator[Clip]:
        for clip in given:
            read.append(clip.name)
            yield clip

    def encoded_with(given: list[Clip], network: Autoencoder, names: list[str]) -> list[EncodedClip]:
        kept = encode_corpus(stream(given), clips[:1], network, variants=1, cache=tmp_path / "encoded.pt", names=names)
        return kept.training

    first = encoded_with(clips[:2], model.autoencoder, ["a", "b"])
    assert len(read) == 2
    again = encoded_with(clips[:2], model.autoencoder, ["a", "b"])
    assert len(read) == 2, "nothing is decoded if the file contains all clips"
    assert torch.equal(first[1].latents, again[1].latents)
    assert torch.equal(first[1].recordings[1].mel, again[1].recordings[1].mel)
    grown = encoded_with(clips, model.autoencoder, ["a", "b", "c"])
    assert [clip.name for clip in grown[:2]] == [clip.name for clip in first]
    assert len(grown) == 3
    other = Autoencoder(SMALL.autoencoder)
    assert not torch.equal(encoded_with(clips[:1], other, ["a"])[0].latents, first[0].latents)


def test_each_head_that_speaks_one_sound_is_encoded(clips: list[Clip], model: SupervisedAutoencoder) -> None:
    first = clips[0]
    assert first.geometry is not None
    wider = first.geometry.copy()
    wider[:, -1] += 1
    changed = [first, replace(first, frames=255 - first.frames), replace(first, geometry=wider)]
    known = encode_all(changed[:1], model.autoencoder, 1)
    once, other_head, other_gap = encode_all(changed, model.autoencoder, 1, known)
    assert once is known[0]
    assert not torch.equal(once.latents, other_head.latents)
    assert torch.equal(once.latents, other_gap.latents)
    assert once.gap is not None
    assert other_gap.gap is not None
    assert torch.equal(other_gap.gap, once.gap + 1)
    assert torch.equal(once.recordings[1].mel, other_head.recordings[1].mel)


def test_persons_of_footage_are_told_apart_by_their_whole_names(
    clips: list[Clip], model: SupervisedAutoencoder
) -> None:
    # As `footage` names clips.
    named = {"Mary-Ann-1": "Mary Ann", "Mary-Jane-1": "Mary Jane", "1-a": "李", "1-b": "王", "2-c": "王"}
    spoken = [replace(clips[0], name=name, person=person) for name, person in named.items()]
    persons = [person_of(clip.name) for clip in encode_all(spoken, model.autoencoder, 0)]
    assert persons[3] == persons[4]
    assert len(set(persons)) == 4


def test_a_stamp_is_of_frames_and_labels(tmp_path: Path) -> None:
    clip = tmp_path / "clip.mp4"
    clip.write_bytes(b"frames")
    clip.with_suffix(".npz").write_bytes(b"labels")
    before = stamp(clip)
    assert stamp(clip) == before
    clip.with_suffix(".npz").write_bytes(b"other labels")
    assert stamp(clip) != before


def test_speech_determines_its_augmented_recordings(clips: list[Clip], model: SupervisedAutoencoder) -> None:
    once, twice = (encode_all(clips[:1], model.autoencoder, 2)[0] for _ in range(2))
    assert all(torch.equal(a.mel, b.mel) for a, b in zip(once.recordings, twice.recordings, strict=True))
    assert not torch.equal(once.recordings[0].mel, once.recordings[1].mel)


def test_the_first_recording_is_the_clips_own(clips: list[Clip], model: SupervisedAutoencoder) -> None:
    own = encode(clips[0], model.autoencoder).recordings
    also = encode(clips[0], model.autoencoder, [AugmentedSpeech(clips[0].speech, 1.0)]).recordings
    assert len(own) == 1
    assert torch.equal(own[0].mel, also[1].mel)
