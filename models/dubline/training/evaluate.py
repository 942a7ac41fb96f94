"""Measures released weights on held-out clips: `python -m dubline.training.evaluate CLIPS --out runs/tiny/eval`.

Prints the picture scores; writes what the speech makes of every clip's first frame as NAME.mp4, and what to compare
it with as NAME.npz, for `lips.py` to read with landmarks.
"""

from __future__ import annotations

import argparse
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import av
import numpy as np
import torch
from rich.progress import track
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from dubline.models.presets import PRESETS
from dubline.models.sampling import sample_motion
from dubline.models.weights import RELEASED, Networks, load_networks
from dubline.training.corpus import SAMPLE_RATE_HZ, Clip, read_corpus
from dubline.training.stage1 import to_frames

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

FPS = 25
# Every fourth frame is scored: neighbours tell the same.
STRIDE = 4


def to_pixels(frames: Tensor) -> NDArray[np.uint8]:
    """(T, 3, H, W) in [-1, 1] -> (T, H, W, 3) uint8."""
    return ((frames.permute(0, 2, 3, 1).clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).numpy()


def face_box(clip: Clip) -> tuple[slice, slice]:
    """Rows and columns that hold the face in every frame of a clip, with a tenth of margin."""
    side = clip.frames.shape[1]
    low, high = clip.landmarks.min((0, 1)) - 0.1, clip.landmarks.max((0, 1)) + 0.1
    pixels = ((np.stack([low, high]) + 1) / 2 * side).astype(int).clip(0, side)
    return slice(pixels[0, 1], pixels[1, 1]), slice(pixels[0, 0], pixels[1, 0])


def picture_scores(pictures: NDArray[np.uint8], truth: NDArray[np.uint8], clip: Clip) -> dict[str, float]:
    """PSNR and SSIM of pictures (T, H, W, 3) against the truth, over all and inside the face box."""
    rows, columns = face_box(clip)
    pairs = list(zip(pictures[::STRIDE], truth[::STRIDE], strict=True))[1:]
    faces = [(a[rows, columns], b[rows, columns]) for a, b in pairs]
    return {
        "psnr": float(np.mean([peak_signal_noise_ratio(b, a) for a, b in pairs])),
        "ssim": float(np.mean([structural_similarity(b, a, channel_axis=2) for a, b in pairs])),
        "face_psnr": float(np.mean([peak_signal_noise_ratio(b, a) for a, b in faces])),
    }


@torch.inference_mode()
def render(networks: Networks, clip: Clip, motion: Tensor) -> NDArray[np.uint8]:
    """Render motion latents (T, M) from a clip's first frame."""
    source = networks.autoencoder.encode_source(to_frames(clip.frames[:1]))
    batches = motion.float().split(networks.preset.render_batch)
    return np.concatenate([to_pixels(networks.autoencoder.render(source, part)) for part in batches])


@torch.inference_mode()
def own_motion(networks: Networks, clip: Clip) -> Tensor:
    """What the motion encoder reads off a clip's own frames: (T, M)."""
    return torch.cat([networks.autoencoder.encode_motion(part) for part in to_frames(clip.frames).split(25)])


@torch.inference_mode()
def spoken_motion(networks: Networks, clip: Clip, seed: int = 0) -> Tensor:
    """What stage 2 makes of a clip's first frame and its speech: (T, M)."""
    source = networks.autoencoder.encode_source(to_frames(clip.frames[:1]))
    count = len(clip.frames)
    return torch.cat(list(sample_motion(networks, source, lambda: iter([clip.speech]), count, seed)))


def envelope(clip: Clip) -> NDArray[np.float64]:
    """Loudness per video frame, smoothed over three: what a puppet's jaw would do. (T,)."""
    step = SAMPLE_RATE_HZ // FPS
    padded = np.pad(clip.speech, (0, len(clip.frames) * step))[: len(clip.frames) * step]
    loudness = np.sqrt((padded.reshape(-1, step).astype(np.float64) ** 2).mean(1))
    return np.convolve(loudness, np.ones(3) / 3, mode="same")


def write_video(path: Path, pictures: NDArray[np.uint8]) -> None:
    """Encode pictures (T, H, W, 3) so well that only the network's own faults are seen."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", FPS, options={"crf": "8", "preset": "veryfast"})
        stream.height, stream.width, stream.pix_fmt = *pictures.shape[1:3], "yuv420p"
        stream.time_base = Fraction(1, FPS)
        for picture in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), "rgb24")))
        container.mux(stream.encode())


def evaluate(networks: Networks, clips: list[Clip], out: Path) -> dict[str, float]:
    """Score every clip; returns the means."""
    out.mkdir(parents=True, exist_ok=True)
    scores: dict[str, list[float]] = {}
    for clip in track(clips, "evaluating"):
        still = np.broadcast_to(clip.frames[:1], clip.frames.shape)
        rows = {"": render(networks, clip, own_motion(networks, clip)), "still_": still}
        for prefix, pictures in rows.items():
            for key, value in picture_scores(pictures, clip.frames, clip).items():
                scores.setdefault(prefix + key, []).append(value)
        if clip.kind == "speech":
            write_video(out / f"{clip.name}.mp4", render(networks, clip, spoken_motion(networks, clip)))
            write_video(out / f"{clip.name}.truth.mp4", clip.frames)
            np.savez(out / f"{clip.name}.npz", aperture_mm=clip.aperture_mm, envelope=envelope(clip))
    means = {key: float(np.mean(values)) for key, values in scores.items()}
    return {**means, "face_gain_db": means["face_psnr"] - means["still_face_psnr"], "clips": len(clips)}


def main() -> None:
    """Read the command line, evaluate, print one line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clips", type=Path, help="folder of NAME.mp4 + NAME.npz")
    parser.add_argument("--preset", choices=PRESETS, default="tiny")
    parser.add_argument("--weights", type=Path, default=RELEASED, help="folder of released presets")
    parser.add_argument("--out", type=Path, default=Path("runs/tiny/eval"))
    args = parser.parse_args()
    networks = load_networks(args.preset, torch.device("cpu"), args.weights)
    clips = read_corpus(args.clips, networks.preset.size_px, heldout=True)
    figures = evaluate(networks, clips, args.out)
    print(" ".join(f"{key}={value:.3f}" for key, value in figures.items()))  # noqa: T201 - the result


if __name__ == "__main__":
    main()
