"""Chooses clips to score that nothing in training has anticipated: another person, another voice, other sentences."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import numpy as np

from dubline.training.corpus import find_clips

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def unseen_clips(folder: Path, training: Sequence[Path] = ()) -> tuple[list[Path], int]:
    """Held-out clips whose voice and sentences no training clip has.

    A clip that names neither (footage) is held out as a person, which takes the voice along.

    Args:
        folder: of the clips, the training clips among them.
        training: further folders that were trained on.

    Returns:
        The clips' paths, and how many held-out clips were left out.

    Raises:
        FileNotFoundError: none is left.
    """
    found = find_clips([folder], heldout=True)
    try:
        trained = [_voice_and_sentences(path) for path in find_clips([folder, *training], heldout=False)]
    except FileNotFoundError:
        trained = []
    voices = {voice for voice, _ in trained} - {""}
    sentences = set().union(*(sentences for _, sentences in trained))
    kept = [path for path in found if _is_new(path, voices, sentences)]
    if not kept:
        raise FileNotFoundError(f"every held-out clip of {folder} has a voice or a sentence of the training clips")
    return kept, len(found) - len(kept)


def _is_new(path: Path, voices: set[str], sentences: set[str]) -> bool:
    voice, said = _voice_and_sentences(path)
    return voice not in voices and not said & sentences


def _voice_and_sentences(path: Path) -> tuple[str, set[str]]:
    """A clip's voice and sentences; empty where nobody noted them, and for clips without speech."""
    with np.load(path.with_suffix(".npz")) as tracks:
        meta = json.loads(str(tracks["meta"]))
    if meta.get("kind") != "speech":
        return "", set()
    parts = re.split(r"[.!?]+\s*", str(meta.get("text") or ""))
    return str(meta.get("voice") or ""), {part.strip().lower() for part in parts if part.strip()}
