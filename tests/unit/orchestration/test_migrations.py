from __future__ import annotations

from pathlib import Path

from alembic.script import ScriptDirectory

from dubline.orchestration.database import migrations


def test_migrations_are_one_line_of_consecutive_numbers() -> None:
    folder = Path(migrations.__file__).parent
    revisions = [one.revision for one in ScriptDirectory(str(folder)).walk_revisions()]
    assert revisions == sorted(revisions, reverse=True)
    assert revisions == [f"{number:04}" for number in range(len(revisions), 0, -1)]
    assert len(revisions) == len(list(folder.glob("versions/[0-9]*.py")))
    assert migrations.latest() == revisions[0]
