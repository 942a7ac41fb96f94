"""Small disk that a fault can fill: a tmpfs, where the user may mount one."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

SIZE_BYTES: Final = 16 << 20
UNMOUNT_WITHIN_S: Final = 30.0
CHUNK_BYTES: Final = 1 << 16


@contextmanager
def small_disk() -> Iterator[Path | None]:
    """Mount a file system of 16 MiB and yield its folder; yield None where the user may not mount one."""
    mount = shutil.which("mount")
    if os.geteuid() != 0 or mount is None:
        yield None
        return
    folder = Path(tempfile.mkdtemp(prefix="dubline-disk-"))
    mounted = subprocess.run(
        [mount, "-t", "tmpfs", "-o", f"size={SIZE_BYTES},mode=700", "tmpfs", folder], check=False, capture_output=True
    )
    try:
        yield folder if mounted.returncode == 0 else None
    finally:
        if mounted.returncode == 0:
            # Lazy, because a process that is still exiting may have a file open.
            subprocess.run(["umount", "--lazy", folder], check=False, timeout=UNMOUNT_WITHIN_S)  # noqa: S607
        folder.rmdir()


def fill(folder: Path) -> Path:
    """Write a file until the disk is full; return the file."""
    path = folder / "filling"
    with path.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(CHUNK_BYTES))
        except OSError:
            return path
