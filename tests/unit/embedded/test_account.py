from __future__ import annotations

import errno
import os
import pwd
from typing import TYPE_CHECKING

import pytest

from dubline.embedded.errors import EmbeddedError, NotInstalled
from dubline.embedded.servers import account
from dubline.embedded.servers.account import Account, is_accessible_to_others, unprivileged
from dubline.embedded.servers.installed import package_folder

if TYPE_CHECKING:
    from pathlib import Path


def test_an_ordinary_user_runs_postgres_as_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert unprivileged() is None


def test_root_runs_postgres_as_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    nobody = pwd.getpwnam("nobody")
    assert unprivileged() == Account(nobody.pw_uid, nobody.pw_gid)


def test_root_without_a_user_nobody_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(name: str) -> None:
        raise KeyError(name)

    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(account.pwd, "getpwnam", unknown)
    with pytest.raises(EmbeddedError, match="ordinary user"):
        unprivileged()


def test_a_container_with_one_user_only_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr(os, "chown", refuse)
    with pytest.raises(
        EmbeddedError, match=r"given to the user `nobody` \(Invalid argument\)\. Run as an ordinary user"
    ):
        Account(65534, 65534).chown(tmp_path)


def test_a_private_parent_folder_is_not_accessible_to_others(tmp_path: Path) -> None:
    inner = tmp_path / "closed" / "open"
    inner.mkdir(parents=True)
    open_before = is_accessible_to_others(inner / "file")
    (tmp_path / "closed").chmod(0o700)
    assert not is_accessible_to_others(inner / "file")
    (tmp_path / "closed").chmod(0o711)
    assert is_accessible_to_others(inner / "file") is open_before


def test_a_package_is_found_without_being_imported() -> None:
    assert (package_folder("dubline.embedded", "dubline") / "stack.py").is_file()


def test_a_missing_package_is_reported() -> None:
    with pytest.raises(NotInstalled, match=r"no-such-thing .*dubline\[embedded\]"):
        package_folder("no_such_thing", "no-such-thing")
