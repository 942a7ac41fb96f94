"""The rights that the loop needs: one for each kind of call in `api.py`, and no other.

The chart's Role is generated from this table. A test compares the file in the chart with `template`, and the calls that
an API server saw with the table.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class Right:
    """The right to verbs on a kind of object of the namespace."""

    group: str
    """API group; empty: the core group."""
    resource: str
    verbs: tuple[str, ...]
    why: str
    named: bool
    """Whether it is limited to the Deployments of the pools."""


RIGHTS: Final = (
    Right(
        group="apps",
        resource="deployments",
        verbs=("get",),
        why="replicas, selector, rollouts, and pods that cannot be created",
        named=True,
    ),
    Right(
        group="apps",
        resource="deployments/scale",
        verbs=("get", "patch"),
        why="the number of workers; read again after a conflict",
        named=True,
    ),
    Right(
        group="",
        resource="pods",
        verbs=("list", "patch"),
        why="which workers are ready; the deletion cost. Names of pods are not known beforehand",
        named=False,
    ),
)


def template() -> str:
    """Return the file of the chart that defines the rules, as a template that takes a list of Deployments."""
    lines = [
        "{{/* Generated from dubline.orchestration.cluster.rights. Takes the names of the Deployments. */}}",
        '{{- define "dubline.scaler.rules" -}}',
    ]
    for right in RIGHTS:
        lines += [
            f"# {right.why}",
            f'- apiGroups: ["{right.group}"]',
            f"  resources: [{right.resource}]",
            *(["  resourceNames: {{ . | toJson }}"] if right.named else []),
            f"  verbs: [{', '.join(right.verbs)}]",
        ]
    return "\n".join([*lines, "{{- end }}", ""])
