"""Selects held-out clips whose person, voice and sentences occur in no training clip."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple, Self

import numpy as np

from dubline.training.corpus import find_clips

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


class Labels(NamedTuple):
    """What a clip has in common with other clips; empty where it has no such label."""

    person: str
    """Footage names its person."""
    voice: str
    """Empty without speech, like the sentences."""
    sentences: frozenset[str]

    @classmethod
    def of(cls, path: Path) -> Self:
        """Read the labels of a clip."""
        with np.load(path.with_suffix(".npz")) as tracks:
            meta = json.loads(str(tracks["meta"]))
        person = str(meta.get("person") or "")
        if meta.get("kind") != "speech":
            return cls(person, "", frozenset())
        parts = re.split(r"[.!?]+\s*", str(meta.get("text") or ""))
        sentences = frozenset(part.strip().lower() for part in parts if part.strip())
        return cls(person, str(meta.get("voice") or ""), sentences)


def unseen_clips(folder: Path, training: Sequence[Path] = ()) -> tuple[list[Path], int]:
    """List the held-out clips whose person, voice and sentences occur in no training clip.

    Rendered clips are split by person already. Footage has no other labels than its person.

    Args:
        folder: of the clips, training clips included.
        training: further folders that were trained on.

    Returns:
        Paths of the clips, and the number of held-out clips that were excluded.

    Raises:
        FileNotFoundError: no clip is left, or a folder of `training` has no training clip.
    """
    found = find_clips([folder], heldout=True)
    # One by one: a wrong path beside a right one would exclude nothing of it.
    trained = [Labels.of(path) for further in training for path in find_clips([further], heldout=False)]
    # The folder itself may have held-out clips only.
    with suppress(FileNotFoundError):
        trained += [Labels.of(path) for path in find_clips([folder], heldout=False)]
    persons, voices = {labels.person for labels in trained} - {""}, {labels.voice for labels in trained} - {""}
    sentences = frozenset[str]().union(*(labels.sentences for labels in trained))

    def is_new(path: Path) -> bool:
        labels = Labels.of(path)
        return labels.person not in persons and labels.voice not in voices and not labels.sentences & sentences

    kept = [path for path in found if is_new(path)]
    if not kept:
        raise FileNotFoundError(
            f"every held-out clip of {folder} has a person, a voice or a sentence of the training clips"
        )
    return kept, len(found) - len(kept)
