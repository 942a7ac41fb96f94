"""The part of PromQL that our alerts and panels use, as a tree. What is not listed here is refused."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

#: Functions and the operators that aggregate.
FUNCTIONS: Final = frozenset({"absent", "clamp_min", "histogram_quantile", "increase", "rate", "vector"})
AGGREGATES: Final = frozenset({"avg", "count", "max", "min", "sum"})
#: Binary operators from the weakest to the strongest.
PRECEDENCE: Final = (
    frozenset({"or"}),
    frozenset({"and", "unless"}),
    frozenset({"==", "!=", "<", "<=", ">", ">="}),
    frozenset({"+", "-"}),
    frozenset({"*", "/"}),
)
SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_TOKEN: Final = re.compile(
    r"\s*(?:(?P<duration>\d+[smhdw])|(?P<number>\d+(?:\.\d+)?(?:e\d+)?)|(?P<name>[a-zA-Z_:][\w:]*)"
    r'|"(?P<text>(?:[^"\\]|\\.)*)"|(?P<sign>=~|!~|!=|==|<=|>=|[-+*/<>=(){}\[\],]))'
)


@dataclass(frozen=True)
class Number:
    value: float


@dataclass(frozen=True)
class Matcher:
    label: str
    sign: str
    text: str


@dataclass(frozen=True)
class Selector:
    name: str
    matchers: tuple[Matcher, ...]
    range_s: int | None = None
    offset_s: int = 0


@dataclass(frozen=True)
class Call:
    name: str
    arguments: tuple[Node, ...]


@dataclass(frozen=True)
class Aggregate:
    name: str
    by: tuple[str, ...]
    of: Node


@dataclass(frozen=True)
class Binary:
    sign: str
    left: Node
    right: Node
    on: tuple[str, ...] | None = None


Node = Number | Selector | Call | Aggregate | Binary


def parse(text: str) -> Node:
    """Parse an expression.

    Raises:
        ValueError: it is not in our part of the language.
    """
    parser = _Parser(text)
    node = parser.binary(0)
    if parser.kind:
        raise ValueError(f"unexpected {parser.value!r} in {text!r}")
    return node


def selectors(node: Node) -> list[Selector]:
    """Return every selector of a tree."""
    match node:
        case Selector():
            return [node]
        case Call():
            return [one for argument in node.arguments for one in selectors(argument)]
        case Aggregate():
            return selectors(node.of)
        case Binary():
            return selectors(node.left) + selectors(node.right)
    return []


class _Parser:
    def __init__(self, text: str) -> None:
        self._text, self._at = text, 0
        self.kind, self.value = "", ""
        self._advance()

    def binary(self, level: int) -> Node:
        if level == len(PRECEDENCE):
            return self._unary()
        left = self.binary(level + 1)
        while self.value in PRECEDENCE[level] and self.kind in {"sign", "name"}:
            sign = self._advance()
            on = self._labels() if self._skip("on") else None
            left = Binary(sign, left, self.binary(level + 1), on)
        return left

    def _unary(self) -> Node:
        if self._skip("("):
            node = self.binary(0)
            self._expect(")")
            return node
        if self.kind == "number":
            return Number(float(self._advance()))
        if self.kind != "name":
            raise ValueError(f"unexpected {self.value!r} in {self._text!r}")
        name = self._advance()
        if name in AGGREGATES:
            by = self._labels() if self._skip("by") else ()
            return Aggregate(name, by, *self._arguments())
        if self.value == "(":
            if name not in FUNCTIONS:
                raise ValueError(f"unknown function {name!r}")
            return Call(name, self._arguments())
        return self._selector(name)

    def _arguments(self) -> tuple[Node, ...]:
        self._expect("(")
        found = [self.binary(0)]
        while self._skip(","):
            found.append(self.binary(0))
        self._expect(")")
        return tuple(found)

    def _labels(self) -> tuple[str, ...]:
        self._expect("(")
        found: list[str] = []
        while not self._skip(")"):
            found.append(self._word())
            self._skip(",")
        return tuple(found)

    def _selector(self, name: str) -> Selector:
        matchers: list[Matcher] = []
        if self._skip("{"):
            while not self._skip("}"):
                label, sign = self._word(), self._advance()
                matchers.append(Matcher(label, sign, self._text_value()))
                self._skip(",")
        range_s = None
        if self._skip("["):
            range_s = self._duration()
            self._expect("]")
        return Selector(name, tuple(matchers), range_s, self._duration() if self._skip("offset") else 0)

    def _word(self) -> str:
        if self.kind != "name":
            raise ValueError(f"expected a label, found {self.value!r} in {self._text!r}")
        return self._advance()

    def _text_value(self) -> str:
        if self.kind != "text":
            raise ValueError(f"expected a text, found {self.value!r} in {self._text!r}")
        return self._advance()

    def _duration(self) -> int:
        if self.kind != "duration":
            raise ValueError(f"expected a duration, found {self.value!r} in {self._text!r}")
        text = self._advance()
        return int(text[:-1]) * SECONDS[text[-1]]

    def _skip(self, value: str) -> bool:
        if self.value != value or self.kind == "text":
            return False
        self._advance()
        return True

    def _expect(self, value: str) -> None:
        if not self._skip(value):
            raise ValueError(f"expected {value!r}, found {self.value!r} in {self._text!r}")

    def _advance(self) -> str:
        """Go to the next token; return the previous one."""
        previous = self.value
        rest = self._text[self._at :]
        if not rest.strip():
            self.kind, self.value = "", ""
            return previous
        match = _TOKEN.match(rest)
        if match is None or match.lastgroup is None:
            raise ValueError(f"unexpected {rest.strip()[0]!r} in {self._text!r}")
        self.kind, self.value, self._at = match.lastgroup, match[match.lastgroup], self._at + match.end()
        return previous
