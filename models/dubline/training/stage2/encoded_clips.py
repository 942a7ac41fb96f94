"""Clips as stage 1 latents and log-mels of several recordings of their speech, encoded once and stored in a file.

Frames are released after encoding; 4 seconds take 0.5 MB.
"""

from __future__ import annotations

import hashlib
import pickle
import zlib
from collections import deque
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import torch
from rich.console import Console

from dubline.models.precision import bf16_autocast
from dubline.models.stage2.audio_encoder import MEL_PER_FRAME
from dubline.models.stage2.log_mel import Loudness, stream_log_mel
from dubline.training.cli_errors import UsageError
from dubline.training.corpus import to_frames
from dubline.training.stage2.waveform_augmentation import AugmentedSpeech, augment_waveform

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from torch import Tensor

    from dubline.models.stage1.autoencoder import Autoencoder
    from dubline.models.stage2.diffusion import Diffusion
    from dubline.training.corpus import Clip

#: Interval of appearance codes: they change so little that every fifth frame is enough.
APPEARANCE_STEP: Final = 5
ENCODING_BATCH: Final = 25
#: Number of clips whose speech is available as background babble.
BABBLE_POOL: Final = 8
#: Incremented when the same clips would be encoded to other values.
VERSION: Final = 1


class Recording(NamedTuple):
    """One recording of a clip's speech. Its frame t belongs to the clip's frame t * speed."""

    mel: Tensor
    """(4 T', BANDS) fp16, log-mel."""
    level: float
    """Loudness."""
    speed: float


class EncodedClip(NamedTuple):
    """One clip as latents."""

    name: str
    latents: Tensor
    """(T, M) fp16."""
    appearance: Tensor
    """(T / 5, A) fp16."""
    recordings: tuple[Recording, ...]
    """The clip's own recording first, then augmented ones."""
    gap: Tensor | None
    """(T,), lip gap of labelled clips."""


class EncodedCorpus(NamedTuple):
    """Training clips and a few held-out clips for validation."""

    names: tuple[str, ...]
    """Of the files that the clips were read from."""
    training: list[EncodedClip]
    heldout: list[EncodedClip]


def stamp(path: Path) -> str:
    """Identify a clip by path, sizes and times of both files, so that a changed clip is encoded again."""
    stats = [file.stat() for file in (path, path.with_suffix(".npz"))]
    return " ".join([str(path), *(f"{stat.st_size} {stat.st_mtime_ns}" for stat in stats)])


def to_recording(augmented: AugmentedSpeech, frames: int) -> Recording:
    """Compute log-mel and loudness of speech.

    Args:
        augmented: the speech.
        frames: number of frames of its clip.
    """
    count = int((frames - 1) / augmented.speed) + 1
    mel = torch.cat(list(stream_log_mel([augmented.speech], count * MEL_PER_FRAME)))
    loudness = Loudness()
    loudness.update(mel)
    return Recording(mel.half(), loudness.level, augmented.speed)


@torch.no_grad()
def encode(clip: Clip, autoencoder: Autoencoder, augmented: Iterable[AugmentedSpeech] = ()) -> EncodedClip:
    """Encode a clip's frames with stage 1, and its own speech and augmented versions of it as log-mels."""
    device = next(autoencoder.parameters()).device
    latents, appearance = [], []
    for begin in range(0, len(clip.frames), ENCODING_BATCH):
        # In batches: as floats a clip takes four times the memory of its pixels.
        part = to_frames(clip.frames[begin : begin + ENCODING_BATCH], device)
        part = part.contiguous(memory_format=torch.channels_last)
        with bf16_autocast(device):
            latents.append(autoencoder.encode_motion(part).half().cpu())
            appearance.append(autoencoder.appearance_extractor(part[::APPEARANCE_STEP]).half().cpu())
    recordings = [to_recording(speech, len(clip.frames)) for speech in (AugmentedSpeech(clip.speech, 1.0), *augmented)]
    gap = None if clip.geometry is None else torch.from_numpy(clip.geometry[:, -1].copy())
    return EncodedClip(clip.name, torch.cat(latents), torch.cat(appearance), tuple(recordings), gap)


def encode_all(
    clips: Iterable[Clip], autoencoder: Autoencoder, variants: int, known: Iterable[EncodedClip] = ()
) -> list[EncodedClip]:
    """Encode the clips that have speech.

    Args:
        clips: read one at a time; silent clips and those of kind `expression` are skipped.
        autoencoder: of stage 1.
        variants: number of augmented recordings of each clip's speech.
        known: clips that were encoded before.
    """
    done = {clip.name: clip for clip in known}
    others: deque[np.ndarray] = deque(maxlen=BABBLE_POOL)
    encoded = []
    for clip in clips:
        if clip.kind == "expression" or not np.abs(clip.speech).any():
            continue
        seed = zlib.crc32(clip.speech.tobytes())
        # Names can repeat between folders, and several heads can speak one sound.
        name = f"{_person(clip)}{clip.name}-{_checksum(clip, seed):08x}"
        if name not in done:
            random = np.random.default_rng(seed)
            augmented = [augment_waveform(clip.speech, random, others) for _ in range(variants)]
            done[name] = encode(clip, autoencoder, augmented)._replace(name=name)
        others.append(clip.speech)
        encoded.append(done[name])
    return encoded


def _person(clip: Clip) -> str:
    """Return a first word for the person: names of clips have not all characters of the person's name."""
    return f"{zlib.crc32(clip.person.encode()):08x}-" if clip.person else ""


def _checksum(clip: Clip, of_speech: int) -> int:
    """Continue the checksum of a clip's speech with its frames and its lip gap."""
    of_frames = zlib.crc32(np.ascontiguousarray(clip.frames).data, of_speech)
    return of_frames if clip.geometry is None else zlib.crc32(clip.geometry[:, -1].tobytes(), of_frames)


def encode_corpus(  # noqa: PLR0913 - each is part of the stored corpus
    clips: Iterable[Clip],
    heldout: Iterable[Clip],
    autoencoder: Autoencoder,
    *,
    variants: int,
    cache: Path,
    names: Sequence[str] = (),
) -> EncodedCorpus:
    """Encode the clips that a file does not contain yet, and store them there.

    Args:
        clips: for training; not read if the file contains the clips of all these names.
        heldout: for validation only, without augmented recordings.
        autoencoder: of stage 1; a file of another stage 1 is ignored.
        variants: number of augmented recordings of each training clip's speech.
        cache: the file.
        names: of the files that the clips are read from; without names nothing is stored.
    """
    sha256 = hashlib.sha256(f"{VERSION} {variants} {fingerprint(autoencoder)}".encode()).hexdigest()
    known = read_cache(cache, sha256)
    if names and known.names == tuple(names):
        return known
    training = encode_all(clips, autoencoder, variants, known.training)
    corpus = EncodedCorpus(tuple(names), training, encode_all(heldout, autoencoder, 0, known.heldout))
    if names:
        write_cache(cache, sha256, corpus)
    return corpus


def fit_statistics(diffusion: Diffusion, clips: list[EncodedClip]) -> None:
    """Set whitening and source statistics from training clips; memory use does not depend on their number."""
    count, total = 0, torch.zeros(diffusion.whitening.mean.shape, dtype=torch.float64)
    product = torch.zeros(len(total), len(total), dtype=torch.float64)
    for clip in clips:
        latents = clip.latents.float()
        relative = torch.cat([latents - latents[i] for i in range(0, len(latents), 20)])
        count, total, product = count + len(relative), total + relative.sum(0), product + relative.T @ relative
    mean = total / count
    diffusion.whitening.fit_moments(mean.float(), (product / count - mean[:, None] * mean).float())
    person = torch.cat([torch.cat([c.latents[::APPEARANCE_STEP], c.appearance], -1) for c in clips]).float()
    diffusion.source_mean.copy_(person.mean(0))
    diffusion.source_std.copy_(person.std(0) + 1e-4)


def fingerprint(autoencoder: Autoencoder) -> str:
    """Return the hash of an autoencoder's encoder weights, which identifies its latents and appearance codes."""
    digest = hashlib.sha256()
    for part in (autoencoder.motion_encoder, autoencoder.appearance_extractor):
        for key, tensor in part.state_dict().items():
            digest.update(key.encode())
            digest.update(tensor.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def read_cache(path: Path, sha256: str) -> EncodedCorpus:
    """Read the file with this fingerprint; empty if there is none or it has another fingerprint."""
    state = _load(path)
    if state is None:
        return EncodedCorpus((), [], [])
    if state.get("fingerprint") != sha256:
        Console().print(f"{path} was encoded by another stage 1; encoding again", markup=False)
        return EncodedCorpus((), [], [])
    return _unpack(state)


def read_encoded(path: Path) -> EncodedCorpus:
    """Read a file of encoded clips of any stage 1.

    Raises:
        UsageError: it is not such a file.
    """
    state = _load(path)
    if state is None or not {"names", "training", "heldout"} <= state.keys():
        raise UsageError(f"{path} has no encoded clips: give the encoded.pt of a run of stage 2")
    return _unpack(state)


def _load(path: Path) -> dict[str, Any] | None:
    if not path.exists():
        return None
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError):
        return None
    return state


def _unpack(state: dict[str, Any]) -> EncodedCorpus:
    splits = [
        [
            EncodedClip(name, latents, codes, tuple(Recording(*recording) for recording in recordings), gap)
            for name, latents, codes, recordings, gap in state[split]
        ]
        for split in ("training", "heldout")
    ]
    return EncodedCorpus(tuple(state["names"]), *splits)


def write_cache(path: Path, sha256: str, corpus: EncodedCorpus) -> None:
    """Write encoded clips; a kill while writing keeps the older file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".part")
    # Plain tuples, which `torch.load` reads with `weights_only=True`.
    state: dict[str, Any] = {"fingerprint": sha256, "names": list(corpus.names)}
    for split, clips in (("training", corpus.training), ("heldout", corpus.heldout)):
        state[split] = [(*clip[:3], [tuple(recording) for recording in clip.recordings], clip.gap) for clip in clips]
    torch.save(state, unfinished)
    unfinished.replace(path)
