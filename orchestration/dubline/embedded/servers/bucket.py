"""The bucket: the S3 server of moto, which keeps objects in memory and does not check credentials."""

from __future__ import annotations

import sys
from typing import Final

from dubline.embedded.part import Part
from dubline.embedded.ports import LOOPBACK, accepts
from dubline.embedded.servers.installed import package_folder

NAME: Final = "bucket"


def bucket(port: int) -> Part:
    """Describe the S3 server.

    moto loads S3 only when only S3 is requested, so its `server` extra is not needed.

    Raises:
        NotInstalled: moto or a dependency of its server is missing.
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
    """Return the URL of the S3 server."""
    return f"http://{LOOPBACK}:{port}"
