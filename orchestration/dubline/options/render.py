"""What a sender chooses about a video: preset, seed, motion controls and output.

Each field declares its bounds, default and description once. The API's schema, the CHECKs of the table of jobs,
admission, the batch file and the command line are derived from these declarations.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, is_dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Self

from dubline.options.option import Option, option, options_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

#: Names of the released networks; a test compares them with the weights.
PRESETS: Final = frozenset({"tiny", "base"})
DEFAULT_PRESET: Final = "base"
SEED_MAX: Final = 2**32 - 1
#: Most faces of a portrait that are listed and can be chosen.
FACES_MOST: Final = 16
#: The largest factor at which the released weights render intact faces (docs/decisions/0013).
FACTOR_MOST: Final = 2.0


def _control(name: str, description: str, most: float = FACTOR_MOST, example: float = 1.0) -> Any:
    return option(
        1.0,
        description,
        least=0.0,
        most=most,
        label=f"control {name}",
        code="control_out_of_range",
        example=example,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class MotionControls:
    """Factors on motion relative to the portrait: 0 keeps what the portrait shows, 1 is the default."""

    expression: float = _control("expression", "Motion of brows, smile and cheeks: 0 none, 1 default, 2 twice as much.")
    head_motion: float = _control(
        "head_motion", "Motion of the head: 0 holds it still, 1 default, 2 twice as much.", example=0.5
    )
    blink: float = _control("blink", "Blinking rate: 0 never, 1 default, 2 twice as often.")
    shut_in_silence: float = _control(
        "shut_in_silence", "Closing of the lips where the speech is silent: 0 as sampled, 1 shut.", most=1.0
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputOptions:
    """What the video file is like."""

    height_px: int | None = option(
        None,
        "Height of the video in pixels, an even number; its width follows from the portrait, 1920 at most. "
        "Default: the portrait's size, at most 1080 x 1920.",
        column="output_height_px",
        least=128,
        most=1080,
        multiple_of=2,
        label="height_px of the output",
        code="output_out_of_range",
        example=720,
    )


DEFAULT_CONTROLS: Final = MotionControls()
DEFAULT_OUTPUT: Final = OutputOptions()


@dataclass(frozen=True, slots=True, kw_only=True)
class RenderOptions:
    """All that a sender chooses about one video, beside the two files."""

    preset: str = option(
        DEFAULT_PRESET,
        "The released networks to render with.",
        choices=PRESETS,
        code="unknown_preset",
    )
    seed: int | None = option(
        None,
        "The same seed, inputs, preset and controls give the same motion. Default: derived from both files' hashes.",
        least=0,
        most=SEED_MAX,
        code="seed_out_of_range",
        example=0,
    )
    face_index: int | None = option(
        None,
        "Which face of the portrait speaks: its number in the upload's `facts.faces`, from 0. Default: 0, the largest "
        "and most central face that can be animated.",
        least=0,
        most=FACES_MOST - 1,
        code="face_out_of_range",
        example=1,
    )
    controls: MotionControls = DEFAULT_CONTROLS
    output: OutputOptions = DEFAULT_OUTPUT

    @property
    def fixed_seed(self) -> int:
        """The seed of an accepted job.

        Raises:
            RuntimeError: there is none; admission sets it.
        """
        if self.seed is None:
            raise RuntimeError("the seed of an accepted job is not set")
        return self.seed

    def with_seed(self, seed: int) -> Self:
        """Return the same options with a seed."""
        return replace(self, seed=seed)


#: Every option in the order of declaration.
OPTIONS: Final[tuple[Option, ...]] = tuple(options_of(RenderOptions))
BY_NAME: Final[Mapping[str, Option]] = {one.name: one for one in OPTIONS}
DEFAULT: Final = RenderOptions()


def _columns_of_group(group: str) -> tuple[tuple[str, str], ...]:
    split = ((one.name.rpartition("."), one.column) for one in OPTIONS)
    return tuple((name, column) for (prefix, _, name), column in split if prefix == group)


#: Fields and columns of the options outside groups, and of each group with its type; a list makes thousands of options.
_UNGROUPED: Final = _columns_of_group("")
_GROUPS: Final[tuple[tuple[str, Any, tuple[tuple[str, str], ...]], ...]] = tuple(
    (one.name, type(one.default), _columns_of_group(one.name))
    for one in fields(RenderOptions)
    if is_dataclass(one.default)
)


def faults_of(options: RenderOptions) -> Iterator[tuple[Option, Any]]:
    """Yield each option whose value is out of bounds, with the value."""
    return ((one, one.value_of(options)) for one in OPTIONS if not one.accepts(one.value_of(options)))


def columns_of(options: RenderOptions) -> dict[str, Any]:
    """Return the options as values of their columns."""
    return {one.column: one.value_of(options) for one in OPTIONS}


def from_columns(values: Mapping[str, Any]) -> RenderOptions:
    """Make options from the values of their columns."""
    groups = {name: group(**{field: values[column] for field, column in columns}) for name, group, columns in _GROUPS}
    return RenderOptions(**{field: values[column] for field, column in _UNGROUPED}, **groups)
