"""The largest pictures that are accepted."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

from PIL import Image

if TYPE_CHECKING:
    from pathlib import Path

#: Decodes the named files; prints by how much each increases the most memory that the process has used, KiB.
_LIMITED = """
import resource, sys
from pathlib import Path
from dubline.worker.media import image
for name in sys.argv[1:]:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with Path(name).open("rb") as file:
        image.load(file, 64_000_000)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_the_largest_portraits_are_decoded_in_bounded_memory(tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("grey.png", "colour.jpg", "transparent.png")]
    for file, mode in zip(files, ("L", "RGB", "RGBA"), strict=True):
        Image.new(mode, (8000, 8000), 90).save(file, **({"compress_level": 1} if mode != "RGB" else {}))
    done = subprocess.run([sys.executable, "-c", _LIMITED, *files], capture_output=True, check=True)
    used_bytes = [int(used) * (1 if sys.platform == "darwin" else 1024) for used in done.stdout.split()]
    assert len(used_bytes) == len(files)
    assert sum(used_bytes) < 500 * 2**20
