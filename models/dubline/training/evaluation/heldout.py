"""Selects held-out clips whose person, voice and sentences occur in no training clip."""

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
    """List the held-out clips whose voice and sentences occur in no training clip.

    A clip without these labels (footage) is held out by person, which includes the voice.

    Args:
        folder: of the clips, training clips included.
        training: further folders that were trained on.

    Returns:
        Paths of the clips, and the number of held-out clips that were excluded.

    Raises:
        FileNotFoundError: no clip is left.
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
    voice, spoken = _voice_and_sentences(path)
    return voice not in voices and not spoken & sentences


def _voice_and_sentences(path: Path) -> tuple[str, set[str]]:
    """Return a clip's voice and sentences; empty without these labels and for clips without speech."""
    with np.load(path.with_suffix(".npz")) as tracks:
        meta = json.loads(str(tracks["meta"]))
    if meta.get("kind") != "speech":
        return "", set()
    parts = re.split(r"[.!?]+\s*", str(meta.get("text") or ""))
    return str(meta.get("voice") or ""), {part.strip().lower() for part in parts if part.strip()}
