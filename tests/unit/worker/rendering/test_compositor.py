from __future__ import annotations

import os
import tracemalloc
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from dubline.framing import crop
from dubline.framing.crop import Square
from dubline.models.layers import resize
from dubline.models.stage1.autoencoder import Autoencoder, Fields, Source
from dubline.models.stage1.frame_decoder import GeneratedPixels
from dubline.worker.rendering.full_size import compositor, opencv, planes
from dubline.worker.rendering.full_size.border import GENERATED, Border
from dubline.worker.rendering.full_size.compositor import Compositor
from dubline.worker.rendering.full_size.on_device import TorchEnlarger, finest_detail
from dubline.worker.rendering.full_size.patch import Patch
from dubline.worker.rendering.full_size.rows import Rows, shrunk

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

SQUARES = [Square(20, 30, 64), Square(-10, -20, 96), Square(100, 60, 80), Square(-20, -20, 256), Square(0, 0, 64)]
CPU = torch.device("cpu")
PHOTOS = Path(os.environ.get("DUBLINE_TEST_PHOTOS", "-"))
#: Side of the networks in these tests, as that of the smallest preset.
NETWORK = 128


def still_fields(count: int = 1, colour: float = 0.0, occlusion: float = 0.0) -> Fields:
    """Make fields that move nothing and generate one grey."""
    generated = GeneratedPixels(
        torch.full((count, 3, NETWORK, NETWORK), colour), torch.full((count, 1, NETWORK, NETWORK), occlusion)
    )
    return Fields(torch.zeros(count, 2, NETWORK // 2, NETWORK // 2), generated)


def moving_fields(count: int, seed: int = 0) -> Fields:
    """Make smooth fields that move everything by up to .1 of the side and generate colour in soft spots."""
    generator = torch.Generator().manual_seed(seed)

    def smooth(channels: int, side: int) -> torch.Tensor:
        return resize(torch.randn(count, channels, 5, 5, generator=generator), side, side, bicubic=True)

    generated = GeneratedPixels(smooth(3, NETWORK).tanh(), (4 * smooth(1, NETWORK) - 2).sigmoid())
    return Fields(0.1 * smooth(2, NETWORK // 2).tanh(), generated)


def compose(frame: NDArray[np.uint8], square: Square, *batches: Fields) -> list[NDArray[np.uint8]]:
    made = Compositor(frame, square, CPU)
    return [one.copy() for one in made.frames(map(made.enlarge, batches))]


def as_planes(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Convert a whole frame, (H, W, 3) RGB, to I420."""
    height, width = frame.shape[:2]
    result, parts = planes.Frame(height, width), planes.split(frame)
    result.luma[:] = planes.rounded(parts.luma)
    result.chroma[:] = planes.rounded(parts.chroma).transpose(2, 0, 1)
    return result.buffer


def psnr(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    error = np.square(one.astype(np.float64) - other).mean()
    return 10 * float(np.log10(255**2 / max(error, 1e-9)))


def luma_of(pixels: torch.Tensor) -> torch.Tensor:
    """Return the luma (B, 1, H, W) of RGB (B, 3, H, W), full range."""
    weights = pixels.new_tensor([planes.RED, planes.GREEN, planes.BLUE])
    return torch.einsum("c,bchw->bhw", weights, pixels)[:, None]


def reference(frame: NDArray[np.uint8], square: Square, fields: Fields) -> list[NDArray[np.uint8]]:
    """Compose in RGB with torch, as the autoencoder does in training, but for the finest detail.

    Detail of the source shows through all generated pixels: see `_see_through`.

    Whole frames are converted at the end.
    """
    fields, square = Border(square, *frame.shape[:2])(fields), square.with_margins
    pixels = np.ascontiguousarray(crop.cut(frame, square).transpose(2, 0, 1), np.float32) / 127.5 - 1
    enlarger = TorchEnlarger(Patch(pixels, slice(0, square.side), slice(0, square.side), is_luma=True), CPU)
    warped = enlarger._move(resize(fields.displacement, square.side, square.side))
    source = Source(warped, warped, warped, None, None, None, None)  # type: ignore[arg-type]
    deformation = type("Mixed", (), {"mixed": fields.displacement})
    side = fields.generated.colour.shape[-1]
    small = resize(warped, side, side)
    generated = fields.generated
    if square.side > side:
        levels, levels_moved = (219 / 255 * luma_of((colour + 1) * 127.5) for colour in (generated.colour, small))
        change = finest_detail(levels, levels_moved) - levels
        generated = GeneratedPixels(generated.colour + change * 255 / 219 / 127.5, generated.occlusion)
    warped, generated = Autoencoder._enlarge(source, warped, deformation, generated)  # type: ignore[arg-type]
    crops = (warped + generated.occlusion * (generated.colour - warped)).permute(0, 2, 3, 1).numpy()
    rows, columns = inside = square.inside(*frame.shape[:2])
    frames = []
    for one in crops:
        visible = one[
            rows.start - square.top : rows.stop - square.top, columns.start - square.left : columns.stop - square.left
        ]
        whole = frame.astype(np.float32)
        whole[inside] = (visible + 1) * 127.5
        frames.append(as_planes(np.clip(np.rint(whole), 0, 255).astype(np.uint8)))
    return frames


@pytest.fixture
def frame(noise: np.random.Generator) -> NDArray[np.uint8]:
    return noise.integers(0, 256, (120, 160, 3), dtype=np.uint8)


@pytest.fixture
def portrait(astronaut: Image.Image) -> NDArray[np.uint8]:
    return np.asarray(astronaut.convert("RGB"))


@pytest.mark.parametrize(
    ("rgb", "expected"),
    [
        ((255, 255, 255), (235, 128, 128)),
        ((0, 0, 0), (16, 128, 128)),
        ((255, 0, 0), (63, 102, 240)),
        ((0, 255, 0), (173, 42, 26)),
        ((0, 0, 255), (32, 240, 118)),
    ],
)
def test_colours_are_converted_by_bt_709(rgb: tuple[int, int, int], expected: tuple[int, int, int]) -> None:
    flat = as_planes(np.full((4, 4, 3), rgb, dtype=np.uint8))
    assert (flat[:4] == expected[0]).all()
    assert flat[4:].reshape(2, -1)[:, 0].tolist() == list(expected[1:])


@pytest.mark.parametrize("square", SQUARES)
def test_fields_without_motion_change_no_pixel(frame: NDArray[np.uint8], square: Square) -> None:
    (result,) = compose(frame, square, still_fields())
    assert (result == as_planes(frame)).all()


@pytest.mark.parametrize("square", SQUARES)
def test_pixels_outside_the_square_are_unchanged(frame: NDArray[np.uint8], square: Square) -> None:
    (result,) = compose(frame, square, still_fields(colour=1.0, occlusion=1.0))
    outside = np.ones(frame.shape[:2], dtype=bool)
    outside[square.with_margins.inside(*frame.shape[:2])] = False
    assert (result[:120][outside] == as_planes(frame)[:120][outside]).all()
    quarters = outside[::2, ::2]
    for one, other in zip(result[120:].reshape(2, 60, 80), as_planes(frame)[120:].reshape(2, 60, 80), strict=True):
        assert (one[quarters] == other[quarters]).all()


@pytest.mark.parametrize("square", SQUARES)
def test_the_middle_of_the_square_shows_what_is_generated(frame: NDArray[np.uint8], square: Square) -> None:
    flat = np.full_like(frame, 128)
    (result,) = compose(flat, square, still_fields(colour=1.0, occlusion=1.0))
    margin = round(square.side * GENERATED.free) + 1
    core = Square(square.left + margin, square.top + margin, square.side - 2 * margin)
    assert (result[:120][core.inside(120, 160)] == 235).all()


def test_generated_pixels_fade_at_the_border_without_a_step() -> None:
    (result,) = compose(
        np.zeros((300, 300, 3), dtype=np.uint8), Square(50, 50, 192), still_fields(colour=1.0, occlusion=1.0)
    )
    row = result[146].astype(int)
    assert row[26] == row[50] == 16
    assert row[146] == 235
    assert np.abs(np.diff(row)).max() <= 219 * 1.6 / (192 * (GENERATED.free - GENERATED.still))


def test_places_that_move_in_one_direction_only_are_moved(noise: np.random.Generator) -> None:
    source = cv2.GaussianBlur(noise.uniform(0, 255, (96, 96)).astype(np.float32), (0, 0), 3)[None]
    patch = Patch(source, slice(0, 96), slice(0, 96), is_luma=True)
    fields = still_fields()
    moved = fields.displacement.clone()
    moved[0, 0, 5:20, 40:50] = moved[0, 1, 40:55, 10:20] = 0.1
    grey = fields.generated.colour[:, :1]
    by_opencv, by_torch, unmoved = (
        enlarger(displacement, grey, fields.generated.occlusion, fields.generated.occlusion).astype(int)
        for enlarger, displacement in (
            (opencv.OpenCvEnlarger(patch), moved),
            (TorchEnlarger(patch, CPU), moved),
            (TorchEnlarger(patch, CPU), fields.displacement),
        )
    )
    for rows, columns in ((slice(8, 30), slice(60, 75)), (slice(60, 82), slice(15, 30))):
        part = (0, 0, rows, columns)
        assert np.abs(by_torch[part] - unmoved[part]).max() > 8
        assert np.abs(by_opencv[part] - by_torch[part]).max() <= 2


def test_a_picture_between_bars_is_composed_as_without_them(frame: NDArray[np.uint8]) -> None:
    picture = slice(20, 100), slice(30, 130)
    visible, square = frame[picture], Square(10, 6, 64)
    made = Compositor(frame, square, CPU, picture=picture)
    (whole,) = (one.copy() for one in made.frames([made.enlarge(moving_fields(1))]))
    (alone,) = compose(visible, square, moving_fields(1))
    expected = as_planes(frame)
    expected[:120][picture] = alone[:80]
    expected[120:].reshape(2, 60, 80)[:, 10:50, 15:65] = alone[80:].reshape(2, 40, 50)
    assert np.array_equal(whole, expected)


def test_values_beyond_the_range_are_clamped(frame: NDArray[np.uint8]) -> None:
    (result,) = compose(frame, Square(20, 30, 64), still_fields(colour=5.0, occlusion=1.0))
    assert result[62, 52] == 255


@pytest.fixture
def _see_through(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let detail of the source show through everything, as in `reference`."""
    monkeypatch.setattr(opencv, "other", lambda generated, *_: np.zeros_like(generated))
    monkeypatch.setattr(opencv, "alone", np.zeros_like)


@pytest.mark.usefixtures("_see_through")
@pytest.mark.parametrize("square", [Square(60, 30, 48), Square(100, 20, 320), Square(-16, -40, 400)])
def test_frames_equal_those_composed_in_rgb_by_torch(portrait: NDArray[np.uint8], square: Square) -> None:
    fields = moving_fields(3)
    expected = reference(portrait, square, fields)
    for one, other in zip(compose(portrait, square, fields), expected, strict=True):
        assert psnr(one, other) >= 50


@pytest.mark.usefixtures("_see_through")
@pytest.mark.skipif(not PHOTOS.is_dir(), reason="DUBLINE_TEST_PHOTOS does not name a folder of photographs")
def test_frames_of_photographs_equal_those_composed_by_torch() -> None:
    worst = []
    for number, path in enumerate(sorted(PHOTOS.glob("*.jpg"))):
        with Image.open(path) as picture:
            pixels = np.asarray(picture.convert("RGB").resize((768, 768)))
        fields, square = moving_fields(2, number), Square(80, 60, 592)
        pairs = zip(compose(pixels, square, fields), reference(pixels, square, fields), strict=True)
        worst.append(min(psnr(one, other) for one, other in pairs))
    assert min(worst) >= 50, worst


@pytest.mark.parametrize("square", [Square(60, 30, 48), Square(100, 20, 320)])
def test_both_implementations_give_the_same_frames(
    portrait: NDArray[np.uint8], square: Square, monkeypatch: pytest.MonkeyPatch
) -> None:
    fields = moving_fields(2)
    expected = compose(portrait, square, fields)
    monkeypatch.setattr(compositor, "OpenCvEnlarger", lambda patch: TorchEnlarger(patch, CPU))
    for one, other in zip(compose(portrait, square, fields), expected, strict=True):
        assert psnr(one, other) >= 50


def halves(fields: Fields) -> list[Fields]:
    parts = (part.split(2) for part in (fields.displacement, *fields.generated))
    return [Fields(moved, GeneratedPixels(*generated)) for moved, *generated in zip(*parts, strict=True)]


@pytest.mark.parametrize("setting", [lambda: torch.set_num_threads(1), lambda: cv2.setNumThreads(2)])
def test_bytes_depend_on_neither_batch_nor_threads(portrait: NDArray[np.uint8], setting: Callable[[], None]) -> None:
    fields, square, threads = moving_fields(5), Square(100, 20, 320), (torch.get_num_threads(), cv2.getNumThreads())
    expected = compose(portrait, square, fields)
    try:
        setting()
        found = compose(portrait, square, *halves(fields))
    finally:
        torch.set_num_threads(threads[0])
        cv2.setNumThreads(threads[1])
    assert all((one == other).all() for one, other in zip(found, expected, strict=True))


@pytest.mark.parametrize("square", [Square(60, 30, 48), Square(100, 20, 320)])
def test_no_pixel_depends_on_the_height_of_the_bands(
    portrait: NDArray[np.uint8], square: Square, monkeypatch: pytest.MonkeyPatch
) -> None:
    fields = moving_fields(1)
    (expected,) = compose(portrait, square, fields)
    for height in (1, 17, 10_000):
        monkeypatch.setattr(opencv, "BAND_ROWS", height)
        assert (compose(portrait, square, fields)[0] == expected).all()


@pytest.mark.parametrize("side", [100, 320, 740])
def test_pixels_outside_the_frame_are_moved_only_near_it(
    side: int, noise: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = noise.uniform(16, 235, (2, side, side)).astype(np.float32)
    moved, (colour, occlusion) = moving_fields(2)
    whole, rows, columns = slice(0, side), slice(side // 4, side // 2), slice(side // 3, side)
    expected = opencv.OpenCvEnlarger(Patch(source, whole, whole))(
        moved, 99 * colour[:, :2], occlusion, torch.ones_like(occlusion)
    )
    sizes, remap = [], cv2.remap

    def counted(*args: object, dst: NDArray[np.float32], **kwargs: object) -> object:
        sizes.append(dst.size)
        return remap(*args, dst=dst, **kwargs)  # type: ignore[call-overload]

    monkeypatch.setattr(cv2, "remap", counted)
    found = opencv.OpenCvEnlarger(Patch(source, rows, columns))(
        moved, 99 * colour[:, :2], occlusion, torch.ones_like(occlusion)
    )
    assert (found == expected[..., rows, columns]).all()
    assert found.size <= sum(sizes) < 1.6 * found.size


def test_the_memory_of_a_frame_is_little_more_than_its_moved_pixels() -> None:
    side = 1024
    source = np.zeros((1, side, side), dtype=np.float32)
    enlarger = opencv.OpenCvEnlarger(Patch(source, slice(0, side), slice(0, side)))
    moved, generated = moving_fields(1)
    enlarger(moved, generated.colour[:, :1], generated.occlusion, generated.occlusion)
    tracemalloc.start()
    try:
        enlarger(moved, generated.colour[:, :1], generated.occlusion, generated.occlusion)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # Four bytes of moved pixels, and twice one of finished ones.
    assert peak / side**2 < 8


def test_a_picture_is_split_in_bands_with_the_bytes_of_the_whole(
    noise: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture = noise.integers(0, 256, (1200, 1202, 3), np.uint8)
    tracemalloc.start()
    try:
        found = planes.split(picture)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # Four bytes of luma and two of chroma; of a whole picture in fp32 it were 38.
    assert peak / picture[..., 0].size < 9
    monkeypatch.setattr(planes, "BAND_ROWS", 1200)
    assert all((one == other).all() for one, other in zip(found, planes.split(picture), strict=True))


@pytest.mark.parametrize("interpolation", [cv2.INTER_LINEAR, cv2.INTER_CUBIC])
@pytest.mark.parametrize("side", [9, 40, 100, 333])
def test_rows_are_those_of_a_resampled_field(side: int, interpolation: int) -> None:
    field = np.random.default_rng(0).standard_normal((40, 40)).astype(np.float32)
    rows = Rows(field, side, interpolation)
    expected = cv2.resize(field, (side, side), interpolation=interpolation)
    found = np.concatenate([rows(slice(0, 4)), rows(slice(4, 5)), rows(slice(5, side))])
    assert np.abs(found - expected).max() < 1e-4
    assert (found == rows(slice(0, side))).all()


@pytest.mark.parametrize(("length", "side"), [(740, 320), (333, 160), (41, 40), (80, 40)])
def test_a_plane_is_shrunk_to_the_mean_of_what_each_pixel_covers(length: int, side: int) -> None:
    plane = np.random.default_rng(0).uniform(0, 255, (length, length)).astype(np.float32)
    expected = cv2.resize(plane, (side, side), interpolation=cv2.INTER_AREA)
    assert np.abs(shrunk(plane, side, slice(0, length)) - expected).max() < 1e-3


def test_the_frames_of_a_batch_keep_their_order(frame: NDArray[np.uint8]) -> None:
    levels = torch.linspace(-1, 1, 5)[:, None, None, None].expand(5, 3, NETWORK, NETWORK)
    fields = still_fields(5, occlusion=1.0)
    fields = fields._replace(generated=fields.generated._replace(colour=levels))
    seen = [int(result[62, 52]) for result in compose(frame, Square(20, 30, 64), *halves(fields))]
    assert seen == [16, 71, 126, 180, 235]
