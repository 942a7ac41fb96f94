"""Run the build of an image without Docker, then start what it installed.

    python -m benchmarks.images [api] [worker]

The instructions of the Dockerfile's build stage run in a new folder: what `COPY` names is copied, except what
`.dockerignore` leaves out, and each `RUN` runs with `/opt/dubline` replaced by a folder. Then each process of the image
is started without settings. The base image, users and the read-only root are not checked. `TORCH_INDEX` is passed on.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from dubline.options.output import exit_if_unread

ROOT: Final = Path(__file__).parents[1]
#: The folder of the environment in an image.
HOME: Final = "/opt/dubline"
#: Arguments of Python in an image, and the exit code: 2 is that of a missing setting.
STARTS: Final = {
    "api": (
        (("-m", "dubline.api"), 2),
        (("-m", "dubline.orchestration", "--help"), 0),
        (("-m", "dubline.orchestration", "migrate"), 2),
        (("-m", "dubline.orchestration", "maintenance"), 2),
        (("-m", "dubline.orchestration", "scale"), 2),
    ),
    "worker": (
        (("-m", "dubline.worker", "--help"), 0),
        (("-m", "dubline.worker", "probe"), 2),
        (("-m", "dubline.worker", "render"), 2),
        (("-c", "import dubline.worker.child, dubline.worker.rendering.pipeline, dubline.worker.media.mux"), 0),
    ),
}
#: What an image must not contain.
ABSENT: Final = {"api": ("torch", "dubline.models", "dubline.worker"), "worker": ("mamba_ssm", "dubline.api")}


def instructions(text: str) -> list[tuple[str, str]]:
    """Split a Dockerfile into pairs of an instruction and its arguments."""
    lines = [line for line in text.replace("\\\n", " ").splitlines() if line and not line.startswith("#")]
    return [(word, rest.strip()) for word, _, rest in (line.partition(" ") for line in lines)]


def is_sent(path: str) -> bool:
    """Return whether `.dockerignore` lets a file of the repository into the build."""
    rules = (ROOT / ".dockerignore").read_text().split()
    parts = path.split("/")
    return f"!{parts[0]}" in rules and not any(f"**/{part}" in rules for part in parts)


def copy(arguments: str, source: Path) -> None:
    """Run a COPY of the build stage.

    Raises:
        SystemExit: it copies what `.dockerignore` leaves out.
    """
    *names, target = arguments.split()
    for name in names:
        origin = ROOT / name
        files = [path for path in origin.rglob("*") if path.is_file()] if origin.is_dir() else [origin]
        sent = [path for path in files if is_sent(str(path.relative_to(ROOT)))]
        if not sent:
            raise SystemExit(f".dockerignore leaves out {name}, which the Dockerfile copies; list it as !{name}")
        for path in sent:
            inner = path.relative_to(origin) if origin.is_dir() else Path(path.name if target.endswith("/") else "")
            place = source / target / inner
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, place)


def build(image: str, folder: Path) -> Path:
    """Run the build stage of an image; return its Python.

    Raises:
        subprocess.CalledProcessError: a RUN failed.
    """
    source, home = folder / "source", folder / "dubline"
    source.mkdir()
    environ = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    environ = {name: value for name, value in environ.items() if name != "PYTHONPATH"} | {"PIP_QUIET": "1"}
    stages = 0
    for word, rest in instructions((ROOT / image / "Dockerfile").read_text()):
        stages += word == "FROM"
        if stages > 1:
            break
        if word == "COPY":
            copy(rest, source)
        elif word in {"ARG", "ENV"}:
            for name, value in re.findall(r'(\w+)="?([^\s"]*)"?', rest):
                environ[name] = os.environ.get(name, value) if word == "ARG" else value
        elif word == "RUN":
            subprocess.run(["/bin/sh", "-euc", rest.replace(HOME, str(home))], cwd=source, env=environ, check=True)
    return home / "bin" / "python"


def faults(image: str, python: Path, folder: Path) -> list[str]:
    """Start each process of an image in an empty folder; return what is wrong."""
    found = []
    clean = {"PATH": f"{python.parent}:/usr/bin:/bin", "HOME": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    for arguments, code in STARTS[image]:
        done = subprocess.run([python, *arguments], cwd=folder, env=clean, capture_output=True, text=True, check=False)
        if done.returncode != code or "Traceback" in done.stderr:
            found.append(f"{' '.join(arguments)}: exit code {done.returncode}, not {code}: {done.stderr[-500:]}")
    for module in ABSENT[image]:
        program = f"from importlib.util import find_spec; raise SystemExit(find_spec({module!r}) is not None)"
        if subprocess.run([python, "-c", program], cwd=folder, env=clean, check=False).returncode:
            found.append(f"{module} is in the image")
    return found


def main() -> int:
    """Build and start the images that are named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", nargs="*", choices=sorted(STARTS), default=sorted(STARTS))
    wrong = 0
    for image in parser.parse_args().images:
        with tempfile.TemporaryDirectory(prefix="dubline-image-") as name:
            folder, began_s = Path(name), time.monotonic()
            python = build(image, folder)
            built_s = time.monotonic() - began_s
            (empty := folder / "empty").mkdir()
            found = faults(image, python, empty)
            size = sum(path.stat().st_size for path in (folder / "dubline").rglob("*") if path.is_file())
        wrong += len(found)
        print("\n".join(found), end="\n" if found else "")
        print(f"image={image} size_mb={size / 1e6:.0f} built_s={built_s:.0f} faults={len(found)}")
    return int(wrong > 0)


if __name__ == "__main__":
    with exit_if_unread():
        sys.exit(main())
