"""Selection of the next row of a queue in SQL: the due row with the smallest order key.

`next_job` has the same rules for jobs, which it reads by preset.

Rows that wait for their first attempt are read in the order of their keys. Rows that wait for another one, whose keys
are smaller in general, have a pause. They are read in the order in which the pauses end, so that rows whose pause is
not over are not read; of the first `AGAIN_AT_ONCE`, the one with the smallest key is taken.

Only the row that is taken is locked: another worker that looks at the same time must find the others. A row that is
locked by another transaction is skipped.
"""

from __future__ import annotations

from typing import Final

#: Number of rows whose pause is over and whose order keys are compared.
AGAIN_AT_ONCE: Final = 32


def next_row(table: str, new: str, again: str, due_at: str) -> str:
    """Return common table expressions; the last, `next_row`, has the id of one locked row, or no row.

    Args:
        table: name of the table, with columns `id`, `order_key` and `created_at`.
        new: SQL condition on the due rows that wait for their first attempt.
        again: SQL condition on the due rows that wait for another attempt.
        due_at: column with the end of the pause.
    """
    by_key = "ORDER BY order_key, created_at, id"
    by_pause = f"ORDER BY {due_at}, created_at, id"
    lock = "LIMIT 1 FOR UPDATE SKIP LOCKED"
    not_behind = f"coalesce({table}.order_key <= (SELECT order_key FROM new_first), true)"  # noqa: S608 - our own text
    return f"""
again_first AS (
    SELECT id, order_key, created_at FROM {table} WHERE {again} {by_pause} LIMIT {AGAIN_AT_ONCE}
), new_first AS (
    SELECT order_key FROM {table} WHERE {new} {by_key} LIMIT 1
), again AS (
    {lock_first(table, "again_first", f"{again} AND {not_behind}")}
), new AS (
    SELECT id FROM {table} WHERE NOT EXISTS (SELECT FROM again) AND {new} {by_key} {lock}
), any_again AS (
    SELECT id FROM {table} WHERE NOT EXISTS (SELECT FROM again)
    AND NOT EXISTS (SELECT FROM new) AND {again} {by_pause} {lock}
), next_row AS (
    SELECT id FROM again UNION ALL SELECT id FROM new UNION ALL SELECT id FROM any_again
)"""  # noqa: S608 - our own text


def lock_first(table: str, candidates: str, condition: str) -> str:
    """Return the query that locks the candidate with the smallest order key that no other transaction has locked.

    Each candidate is looked up by its id, one after the other: a join would let the server read the whole queue.

    Args:
        table: name of the table.
        candidates: name of a query with columns `id`, `order_key` and `created_at`.
        condition: SQL condition on the rows of the table, which may have changed since.
    """
    return f"""
    SELECT locked.id FROM (SELECT id FROM {candidates} ORDER BY order_key, created_at, id) AS candidate
    CROSS JOIN LATERAL (
        SELECT {table}.id FROM {table} WHERE {table}.id = candidate.id AND {condition} FOR UPDATE SKIP LOCKED
    ) AS locked LIMIT 1"""  # noqa: S608 - our own text


def advance_clock(queue: str, key: str) -> str:
    """Return the statement that sets the clock of a queue to the order key of a claim, if it is larger.

    A claim that runs at the same time may have locked the clock. Then it is not set; the next claim sets it.

    Args:
        queue: name of the queue.
        key: SQL expression of the key.
    """
    return f"""
UPDATE queue_clocks SET at_s = {key} WHERE queue = (
    SELECT queue FROM queue_clocks WHERE queue = '{queue}' AND at_s < {key} FOR UPDATE SKIP LOCKED
)"""  # noqa: S608 - our own text
