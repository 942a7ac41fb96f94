"""The user of PostgreSQL: the current user, or `nobody` for root, which PostgreSQL rejects."""

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
    """A user and group of this machine."""

    uid: int
    gid: int

    def chown(self, path: Path) -> None:
        """Make this user the owner of a path.

        Raises:
            EmbeddedError: this machine does not let the current user do that, as a container with one user only.
        """
        try:
            os.chown(path, self.uid, self.gid)
        except OSError as error:
            raise EmbeddedError(
                "PostgreSQL refuses to run as root, and files cannot be given to the user `nobody` "
                f"({error.strerror}). Run as an ordinary user."
            ) from error


def unprivileged() -> Account | None:
    """Return the user for PostgreSQL; None: the current user.

    Raises:
        EmbeddedError: the current user is root and there is no user `nobody`.
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


def is_accessible_to_others(path: Path) -> bool:
    """Return whether every user may enter all parent folders of a path."""
    return all(parent.stat().st_mode & _OTHERS_MAY_ENTER for parent in path.resolve().parents)
