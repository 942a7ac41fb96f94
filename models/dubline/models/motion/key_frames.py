"""Key frames: those that the networks compute. What is computed for the other frames is combined from them.

A face repeats its movements within half a second, so the motion of most frames is close to a weighted sum of few
others' (decision 0061).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

#: How much a squared change of the weights counts, in squared largest distances. The networks are not linear, so the
#: weights stay near those of the line between two neighbours.
STIFFNESS: Final = 0.5
#: Smallest weight. Generated pixels that are extrapolated have colours that no mouth has: wide lips that were made of
#: less wide ones had green insides (decision 0070).
LEAST: Final = -0.05


class KeyFrames(NamedTuple):
    """The N key frames of a batch of T frames."""

    frames: list[int]
    """Their indices, ascending."""
    weights: NDArray[np.float32]
    """(T, N): what each frame is combined with. Those of one frame add up to 1; a key frame is itself."""


def beside_steps(gap: Array, most: float) -> NDArray[np.bool_]:
    """Tell which frames (T,) are on either side of a step of the lip gap (T,), in cm, of more than `most`.

    Between closed and open lips pixels are not linear in the motion: a combination shows both mouths, each half
    transparent.
    """
    step = np.abs(np.diff(gap)) > most
    beside = np.zeros(len(gap), np.bool_)
    beside[1:] |= step
    beside[:-1] |= step
    return beside


def choose(motion: Array, blinking: NDArray[np.bool_], most: float, computed: NDArray[np.bool_]) -> KeyFrames:
    """Choose as few key frames as keep every other frame close enough to its combination.

    The first and the last frame without a blink are key frames, and those that have to be computed. Then, as long as
    a frame is too far from its combination, the furthest one becomes a key frame.

    Args:
        motion: (T, M), latents.
        blinking: (T,), whether lids move. Such frames are key frames, and no other frame is made of them: a blink is
            short, and not linear.
        most: largest distance of a latent from its combination, the penalty on weights included.
        computed: (T,), whether a frame has to be a key frame.
    """
    frames = np.arange(len(motion))
    calm = frames[~blinking]
    centred = motion - motion.mean(axis=0)
    # Not by the library of linear algebra: its sums would depend on the number of threads.
    products = np.einsum("ik,jk->ij", centred, centred)
    keys = {*calm[:1].tolist(), *calm[-1:].tolist(), *frames[computed & ~blinking].tolist()}
    penalty = STIFFNESS * most**2
    while True:
        of, others = np.array(sorted(keys), int), np.array([frame for frame in calm if frame not in keys], int)
        combined = np.eye(len(frames))
        if not others.size:
            break
        shares, errors = _combined(products, of, others, penalty)
        if errors.max() <= most**2:
            combined[others] = 0
            combined[np.ix_(others, of)] = shares
            break
        keys.add(int(others[errors.argmax()]))
    chosen = sorted({*keys, *frames[blinking].tolist()})
    return KeyFrames(chosen, combined[:, chosen].astype(np.float32))


def _combined(products: Array, keys: NDArray[np.int_], others: NDArray[np.int_], penalty: float) -> tuple[Array, Array]:
    """Combine frames of key frames: ridge regression of their motion around the line between two neighbours.

    Args:
        products: (T, T), of each two latents.
        keys: (N,), indices of the key frames, ascending; the first and the last surround the others.
        others: (n,), indices of the frames to combine.
        penalty: of a squared change of the weights.

    Returns:
        Weights (n, N) of at least `LEAST`, and for each frame the squared distance with its penalty, (n,).
    """
    line = np.stack([np.interp(others, keys, one) for one in np.eye(len(keys))], axis=1)
    # Each frame less its combination, as weights of all frames.
    rest = np.eye(len(products))[others]
    rest[:, keys] -= line
    change = _changes(products[np.ix_(keys, keys)], (rest @ products)[:, keys], penalty, LEAST - line)
    rest[:, keys] -= change
    errors = np.einsum("ij,ij->i", rest @ products, rest) + penalty * np.square(change).sum(axis=1)
    return line + change, errors


def _changes(products: Array, towards: Array, penalty: float, least: Array) -> Array:
    """Solve for the changes of the weights, (n, N). They add up to 0, and none is less than `least`.

    Args:
        products: (N, N), of each two key frames.
        towards: (n, N), products of what the line misses with the key frames.
        penalty: of a squared change.
        least: (n, N), smallest changes. A change that would be smaller is fixed there, and the others are solved again.
    """
    count = len(products)
    # The last row and column are of the multiplier that makes the sum 0.
    system = np.ones((count + 1, count + 1))
    system[:-1, :-1] = products + penalty * np.eye(count)
    system[-1, -1] = 0
    wanted = np.zeros((len(towards), count + 1))
    wanted[:, :-1] = towards
    fixed = np.zeros(wanted.shape, bool)
    while True:
        rows = np.where(fixed[..., None], np.eye(count + 1), system)
        changes: Array = np.linalg.solve(rows, wanted[..., None])[:, :-1, 0].astype(np.float64, copy=False)
        smaller = (changes < least) & ~fixed[:, :-1]
        if not smaller.any():
            return changes
        fixed[:, :-1] |= smaller
        wanted[:, :-1] = np.where(smaller, least, wanted[:, :-1])
