"""The user that PostgreSQL runs as: ourselves, or `nobody` where we are root, whom PostgreSQL refuses."""

from __future__ import annotations

import os
import pwd
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from dubline.embedded.errors import EmbeddedError

if TYPE_CHECKING:
    from pathlib import Path

_OTHERS_MAY_ENTER: Final = 0o001


@dataclass(frozen=True, slots=True)
class Account:
    """A user of this machine, by numbers."""

    uid: int
    gid: int

    def owns(self, folder: Path) -> None:
        """Give a folder to this user."""
        os.chown(folder, self.uid, self.gid)


def unprivileged() -> Account | None:
    """Choose whom PostgreSQL runs as; None means as we are.

    Raises:
        EmbeddedError: we are root and there is no user `nobody`.
    """
    if os.geteuid() != 0:
        return None
    try:
        nobody = pwd.getpwnam("nobody")
    except KeyError as error:
        raise EmbeddedError(
            "PostgreSQL refuses to run as root and there is no user `nobody`. Run as an ordinary user."
        ) from error
    return Account(nobody.pw_uid, nobody.pw_gid)


def others_reach(path: Path) -> bool:
    """Tell whether every user may enter all folders on the way to a path."""
    return all(parent.stat().st_mode & _OTHERS_MAY_ENTER for parent in path.resolve().parents)
