"""Jobs of lists: the database writes what it stores of a job as JSON.

A page has up to 500 jobs. To read their 30 columns, build records and encode those takes ten times the processor time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import literal_column

from dubline.options.render import OPTIONS
from dubline.orchestration.domain.jobs import JobState, ListedJob

if TYPE_CHECKING:
    from collections.abc import Iterable

#: Columns whose names are those of the members.
_COPIED: Final = (
    *("id", "batch_id", "custom_id", "portrait_upload_id", "speech_upload_id", "weights_sha256"),
    *("state", "stage", "attempt_count", "gpu_s"),
)
_TIMES: Final = ("created_at", "started_at", "deadline_at", "finalized_at", "result_deleted_at")


def _object(members: Iterable[tuple[str, str]]) -> str:
    written = (f"'{name}', {value}" for name, value in members)
    return f"json_build_object({', '.join(written)})"


def _utc(column: str) -> str:
    return f"""to_char({column} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')"""


def _options(group: str) -> list[tuple[str, str]]:
    split = ((one.name.rpartition("."), one.column) for one in OPTIONS)
    return [(name, column) for (prefix, _, name), column in split if prefix == group]


_GROUPS: Final = dict.fromkeys(one.name.rpartition(".")[0] for one in OPTIONS if "." in one.name)
_FAULT: Final = _object((("code", "error_code"), ("detail", "coalesce(error_detail, '')")))
_MEMBERS: Final = _object(
    (
        *((name, name) for name in _COPIED),
        *((name, _utc(name)) for name in _TIMES),
        ("percent", "progress_percent"),
        ("error", f"CASE WHEN error_code IS NOT NULL THEN {_FAULT} END"),
        *_options(""),
        *((group, _object(_options(group))) for group in _GROUPS),
    )
)
_RESULT: Final = _object(
    (("sha256", "result_sha256"), ("size_bytes", "result_size_bytes"), ("duration_s", "result_duration_s"))
)
#: What `listed_job_of` reads, with the expressions of SQL.
_COLUMNS: Final = {
    **{name: name for name in ("id", "state", "progress_percent", "attempt_count", "started_at", "created_at")},
    "members": f"CAST({_MEMBERS} AS text)",
    "video_key": "CASE WHEN result_deleted_at IS NULL THEN result_key END",
    "result": f"CAST({_RESULT} AS text)",
}
LISTED: Final = ", ".join(f"{expression} AS {name}" for name, expression in _COLUMNS.items())
LISTED_COLUMNS: Final[tuple[Any, ...]] = tuple(
    literal_column(expression).label(name) for name, expression in _COLUMNS.items()
)


def listed_job_of(row: Any) -> ListedJob:
    """Convert a result row with the columns of `LISTED`."""
    return ListedJob(
        id=row.id,
        state=JobState(row.state),
        progress_percent=row.progress_percent,
        attempt_count=row.attempt_count,
        started_at=row.started_at,
        members=row.members,
        video_key=row.video_key,
        result=row.result,
    )
