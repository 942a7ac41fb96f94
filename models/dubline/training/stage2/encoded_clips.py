"""What stage 2 keeps of clips: their latents and several recordings of their speech, encoded once and stored in a file.

A clip's frames are gone as soon as it is encoded, so a corpus of any size needs 0.5 MB for each 4 seconds.
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

#: A face's appearance code changes so little that every fifth frame's is enough.
APPEARANCE_STEP: Final = 5
ENCODING_BATCH: Final = 25
#: How many clips' speech is at hand to babble in the background of the next.
BABBLE_POOL: Final = 8
#: Counts up when the same clips would be encoded into other values.
VERSION: Final = 1


class Recording(NamedTuple):
    """One recording of a clip's speech: log-mel (4 T', BANDS) fp16, its loudness, and its speed.

    Its frame t shows what the clip shows at t * speed.
    """

    mel: Tensor
    level: float
    speed: float


class EncodedClip(NamedTuple):
    """One clip: latents (T, M) and appearance (T / 5, A) in fp16, its voices, and the lip gap (T,) if labelled.

    The first voice is the clip's own.
    """

    name: str
    latents: Tensor
    appearance: Tensor
    voices: tuple[Recording, ...]
    gap: Tensor | None


class EncodedCorpus(NamedTuple):
    """Training clips and the few that the lips are checked on; names of the files that they come from."""

    names: tuple[str, ...]
    training: list[EncodedClip]
    heldout: list[EncodedClip]


def to_recording(augmented: AugmentedSpeech, frames: int) -> Recording:
    """Log-mel and loudness of a recording whose clip has so many frames."""
    count = int((frames - 1) / augmented.speed) + 1
    mel = torch.cat(list(stream_log_mel([augmented.speech], count * MEL_PER_FRAME)))
    loudness = Loudness()
    loudness.update(mel)
    return Recording(mel.half(), loudness.level, augmented.speed)


@torch.no_grad()
def encode(clip: Clip, autoencoder: Autoencoder, augmented: Iterable[AugmentedSpeech] = ()) -> EncodedClip:
    """Run stage 1's encoders over a clip, and the speech front end over its speech and other recordings of it."""
    device = next(autoencoder.parameters()).device
    latents, appearance = [], []
    for begin in range(0, len(clip.frames), ENCODING_BATCH):
        # A batch at a time: as floats a clip would take four times its pixels.
        part = to_frames(clip.frames[begin : begin + ENCODING_BATCH], device)
        part = part.contiguous(memory_format=torch.channels_last)
        with bf16_autocast(device):
            latents.append(autoencoder.encode_motion(part).half().cpu())
            appearance.append(autoencoder.appearance_extractor(part[::APPEARANCE_STEP]).half().cpu())
    voices = [to_recording(speech, len(clip.frames)) for speech in (AugmentedSpeech(clip.speech, 1.0), *augmented)]
    gap = None if clip.geometry is None else torch.from_numpy(clip.geometry[:, -1].copy())
    return EncodedClip(clip.name, torch.cat(latents), torch.cat(appearance), tuple(voices), gap)


def encode_all(
    clips: Iterable[Clip], autoencoder: Autoencoder, variants: int, known: Iterable[EncodedClip] = ()
) -> list[EncodedClip]:
    """Encode the clips that speak, one after the other.

    Args:
        clips: read one at a time; silent ones and those of kind `expression` are left out.
        autoencoder: of stage 1.
        variants: how many further recordings of each clip's speech.
        known: what was encoded before and need not be again.
    """
    done = {clip.name: clip for clip in known}
    others: deque[np.ndarray] = deque(maxlen=BABBLE_POOL)
    encoded = []
    for clip in clips:
        if clip.kind == "expression" or not np.abs(clip.speech).any():
            continue
        # Names repeat between folders; sounds do not.
        seed = zlib.crc32(clip.speech.tobytes())
        name = f"{clip.name}-{seed:08x}"
        if name not in done:
            random = np.random.default_rng(seed)
            augmented = [augment_waveform(clip.speech, random, others) for _ in range(variants)]
            done[name] = encode(clip, autoencoder, augmented)._replace(name=name)
        others.append(clip.speech)
        encoded.append(done[name])
    return encoded


def encode_corpus(  # noqa: PLR0913 - each is a part of what is stored
    clips: Iterable[Clip],
    heldout: Iterable[Clip],
    autoencoder: Autoencoder,
    *,
    variants: int,
    cache: Path,
    names: Sequence[str] = (),
) -> EncodedCorpus:
    """Encode what a file does not hold yet, and store it there.

    Args:
        clips: for training; not read at all if the file holds the clips of all these names.
        heldout: only to be listened to: without further recordings.
        autoencoder: of stage 1; what another has encoded does not count.
        variants: further recordings of each training clip's speech.
        cache: the file.
        names: of the files that the clips come from; without them nothing is stored.
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
    """Set the whitening and the source statistics from training clips, in memory that does not grow with them."""
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
    """Name the latents and appearance codes that an autoencoder makes: a hash of its encoders' weights."""
    digest = hashlib.sha256()
    for part in (autoencoder.motion_encoder, autoencoder.appearance_extractor):
        for key, tensor in part.state_dict().items():
            digest.update(key.encode())
            digest.update(tensor.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def read_cache(path: Path, sha256: str) -> EncodedCorpus:
    """What a file with that fingerprint holds; nothing from another or none."""
    state = _load(path)
    if state is None:
        return EncodedCorpus((), [], [])
    if state.get("fingerprint") != sha256:
        Console().print(f"{path} was encoded by another stage 1; encoding again", markup=False)
        return EncodedCorpus((), [], [])
    return _unpack(state)


def read_encoded(path: Path) -> EncodedCorpus:
    """What a file holds, whichever stage 1 encoded it.

    Raises:
        UsageError: it is not such a file.
    """
    state = _load(path)
    if state is None or not {"names", "training", "heldout"} <= state.keys():
        raise UsageError(f"{path} holds no encoded clips: give the encoded.pt of a run of stage 2")
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
            EncodedClip(name, latents, codes, tuple(Recording(*voice) for voice in voices), gap)
            for name, latents, codes, voices, gap in state[split]
        ]
        for split in ("training", "heldout")
    ]
    return EncodedCorpus(tuple(state["names"]), *splits)


def write_cache(path: Path, sha256: str, corpus: EncodedCorpus) -> None:
    """Store encoded clips; a kill while writing leaves the older file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".part")
    # Plain tuples: what may be loaded without running anyone's code.
    state: dict[str, Any] = {"fingerprint": sha256, "names": list(corpus.names)}
    for split, clips in (("training", corpus.training), ("heldout", corpus.heldout)):
        state[split] = [(*clip[:3], [tuple(voice) for voice in clip.voices], clip.gap) for clip in clips]
    torch.save(state, unfinished)
    unfinished.replace(path)
