from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

from dubline.client.cli import faces

if TYPE_CHECKING:
    from pathlib import Path


def test_modules_of_the_users_folder_hide_no_installed_ones(tmp_path: Path) -> None:
    (tmp_path / "json.py").write_text("raise SystemExit('a module of the user')")
    (tmp_path / "text.jpg").write_text("no picture")
    command = [sys.executable, "-P", "-m", "dubline.client", "faces", "text.jpg"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (faces.REFUSED, "")
    assert done.stdout.startswith("text.jpg: not_an_image: ")
