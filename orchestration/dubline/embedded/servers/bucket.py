"""The bucket: moto's S3 server as a process. It keeps objects in memory and checks no credentials."""

from __future__ import annotations

import sys
from typing import Final

from dubline.embedded.part import Part
from dubline.embedded.ports import LOOPBACK, accepts
from dubline.embedded.servers.installed import package_folder

NAME: Final = "bucket"


def bucket(port: int) -> Part:
    """Describe an S3 server.

    Only S3 is ever asked for, so moto loads only S3: its `server` extra, with all of AWS, is not needed.

    Raises:
        NotInstalled: moto or what its server stands on is missing.
    """
    for module, package in (("moto", "moto[s3]"), ("flask", "flask"), ("flask_cors", "flask-cors")):
        package_folder(module, package)
    return Part(
        name=NAME,
        argv=(sys.executable, "-m", "moto.server", "--host", LOOPBACK, "--port", str(port)),
        is_ready=lambda: accepts(port),
        last=True,
    )


def bucket_url(port: int) -> str:
    """Say where the bucket's server listens."""
    return f"http://{LOOPBACK}:{port}"
