"""The largest pictures that are accepted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PIL import Image
from tests import memory

if TYPE_CHECKING:
    from pathlib import Path

#: Decodes the named files; prints by how much each increases the most memory that the process has used.
_DECODE = """
from pathlib import Path
from dubline.worker.media import image
for name in sys.argv[1:]:
    before = peak_bytes()
    with Path(name).open("rb") as file:
        image.load(file, 64_000_000)
    print(peak_bytes() - before)
"""


def test_the_largest_portraits_are_decoded_in_bounded_memory(tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("colour.jpg", "grey.png", "transparent.png")]
    for file, mode in zip(files, ("RGB", "L", "RGBA"), strict=True):
        Image.new(mode, (8000, 8000), 90).save(file, **({"compress_level": 1} if mode != "RGB" else {}))
    used_bytes = memory.printed(_DECODE, *files)
    assert len(used_bytes) == len(files)
    # A JPEG is reduced while it is decoded.
    assert used_bytes[0] < 64 * 2**20
    # 64 megapixels of four bytes, and a copy of them.
    assert sum(used_bytes) < 600 * 2**20
