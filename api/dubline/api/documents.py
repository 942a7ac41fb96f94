"""JSON documents of requests, read value by value, so that the cost is bounded by what is accepted.

A parser that reads a whole body first needs up to a hundred times its size. Here each value is parsed from a slice of
limited length, and the caller may stop after any value.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Longest value that is parsed in one step, in characters. A job with every option has about 1,000.
VALUE_CHARS: Final = 16_384
_SPACE: Final = re.compile(r"[ \t\n\r]*+")


class DocumentError(ValueError):
    """A document that is not JSON, or has a value over the limit.

    Attributes:
        kind: `json_invalid` or `value_too_long`.
        position: index of the character.
    """

    def __init__(self, kind: str, reason: str, position: int) -> None:
        super().__init__(reason)
        self.kind = kind
        self.reason = reason
        self.position = position


_DECODER: Final = json.JSONDecoder()


class Document:
    """A position in the text of one document; every method may raise DocumentError."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def peek(self) -> str:
        """Return the next character that is no space; empty at the end."""
        match = _SPACE.match(self._text, self._at)
        self._at = match.end() if match else self._at
        return self._text[self._at : self._at + 1]

    def value(self) -> object:
        """Read the next value."""
        self.peek()
        slice_ = self._text[self._at : self._at + VALUE_CHARS]
        cut = self._at + VALUE_CHARS < len(self._text)
        try:
            value, length = _DECODER.raw_decode(slice_)
        except RecursionError:
            raise self._error("it is nested too deeply") from None
        except json.JSONDecodeError as error:
            if cut:
                raise self._too_long() from None
            raise self._error(error.msg, error.pos) from None
        except ValueError as error:  # an integer with thousands of digits
            raise self._error(str(error).partition(";")[0]) from None
        if cut and length == len(slice_):
            raise self._too_long()
        self._at += length
        return value

    def members(self) -> Iterator[str]:
        """Iterate over the members of the object that comes next; the caller reads each value before the next name."""
        for _ in self._elements("{", "}"):
            name = self.value()
            if not isinstance(name, str):
                raise self._error("Expecting property name enclosed in double quotes")
            self._expect(":")
            yield name

    def items(self) -> Iterator[int]:
        """Iterate over the indices of the array that comes next; the caller reads each item before the next index."""
        yield from self._elements("[", "]")

    def end(self) -> None:
        """Check that nothing follows."""
        if self.peek():
            raise self._error("Extra data")

    def _elements(self, opening: str, closing: str) -> Iterator[int]:
        self._expect(opening)
        index = 0
        while index or self.peek() != closing:
            yield index
            index += 1
            if self.peek() == closing:
                break
            self._expect(",")
        self._expect(closing)

    def _expect(self, character: str) -> None:
        if self.peek() != character:
            raise self._error(f"Expecting '{character}'")
        self._at += 1

    def _error(self, reason: str, offset: int = 0) -> DocumentError:
        return DocumentError("json_invalid", reason, self._at + offset)

    def _too_long(self) -> DocumentError:
        return DocumentError("value_too_long", f"a value has more than {VALUE_CHARS:,} characters", self._at)
