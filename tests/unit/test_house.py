"""The rules of the house that no linter checks: vocabulary, sizes of files and functions, one dialect."""

from __future__ import annotations

import ast
import functools
import re
import subprocess
import sys
from collections import Counter, defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT: Final = Path(__file__).parents[2]
SOURCES: Final = ("api", "models", "orchestration", "worker", "benchmarks")
FILE_LINES: Final = 400
FUNCTION_LINES: Final = 60
#: A folder with more files than this has a README.
LARGE_FOLDER: Final = 8
#: History keeps its words: the log, released migrations, changelog entries of earlier versions, and this list itself.
HISTORY: Final = (
    "docs/log.md",
    "migrations/versions/0001",
    "migrations/versions/0002",
    "migrations/versions/0003",
    "tests/unit/test_house.py",
)
#: Old words, banned in prose and in identifiers (an underscore ends a word, and so does a change of case).
WORDS: Final = (
    r"doom(s|ed|ing)?",
    r"janitors?",
    r"dut(y|ies)",
    r"relay(s|ed)?",
    r"wakers?",
    r"nudg(e|es|ed|ing)",
    r"hurr(y|ied)",
    r"brothers?",
    r"pulses?",
    r"beats?",
    r"pins",
    r"pieces?",
    r"got on",
    r"forgiven",
    r"born",
    r"insists?",
    r"upstream",
    r"surroundings",
    r"wired",
    r"complaints?",
    r"wish(es)?",
    r"unsaid",
    r"hears?",
    r"heard",
    r"paint(s|ed|ing)?",
    r"retouch(ed|er|ers|es|ing)?",
    r"steering",
    r"hushed",
    r"sharply",
    r"reciters?",
    r"criticis(m|ms|e|ed)",
    r"critics?",
    r"asked wrong",
    r"plainly",
    r"studios?",
    r"examiners?",
    r"puppets?",
    r"havoc",
    r"rivals?",
    r"patience",
    r"stand in",
    r"films?",
    r"filmed",
    r"control process(es)?",
)
#: Words that are banned as identifiers only: prose needs some of them.
IDENTIFIERS: Final = (
    r"drain(s|ed)?",
    r"look",
    r"turns?",
    r"fences?",
    r"endings?",
    r"boards?",
    r"pauses",
    r"answers",
    r"usual",
    r"rigs?",
    r"borders",
    r"lessons?",
    r"microphones?",
    r"deck",
    r"takes?",
    r"findings?",
    r"seams?",
    r"judges?",
)
#: Names of tables and columns that stay: rows of released versions have them.
STORED: Final = r"\bdoomed_(objects|at)\b"
#: Old names of settings and chart values, accepted for one release.
ALIASES: Final = r"\bDUBLINE_CONTROL_(RELAY|JANITOR)_S\b|\bDUBLINE_WORKER_PULSE_FILE\b|\b(relayS|janitorS)\b"
#: (part of a path, word): uses that are not the old word. Each has its reason beside it.
EXCEPTIONS: Final[tuple[tuple[str, str], ...]] = (
    # The former name of a phase on the command line, accepted for one release.
    ("benchmarks/chaos/__main__.py", "rival"),
    # The former name of an option, accepted for one release.
    ("dubline/training/stage1/__main__.py", "retouch"),
    # The changelog gives the old names of what was renamed.
    ("CHANGELOG.md", "janitor"),
    ("CHANGELOG.md", "pulse"),
    ("CHANGELOG.md", "relay"),
    ("CHANGELOG.md", "retouch"),
    # The decision is about the old names of tensors.
    ("docs/decisions/0022", "retoucher"),
)
#: By the list of old words, the words in which none of them was found. Files repeat most of their words.
KNOWN: Final[defaultdict[tuple[str, ...], set[str]]] = defaultdict(set)


def tracked(*suffixes: str) -> list[Path]:
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    if listed.returncode != 0:
        pytest.skip("this is no checkout of git, so the files of the project cannot be listed")
    paths = [ROOT / name for name in listed.stdout.splitlines() if name.endswith(suffixes)]
    return [path for path in paths if path.is_file() and not any(part in str(path) for part in HISTORY)]


def sources() -> list[Path]:
    paths = [path for path in tracked(".py") if path.relative_to(ROOT).parts[0] in SOURCES]
    return [path for path in paths if "migrations/versions" not in str(path)]


@functools.cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def spaced(text: str) -> str:
    """Split identifiers into words: `gotOn`, `got_on` and `got-on` become `got on`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|[_-]", " ", text)


def banned(patterns: tuple[str, ...], text: str) -> set[str]:
    """Find old words in words, which may be identifiers of several."""
    prose = spaced(re.sub(f"{STORED}|{ALIASES}", "", text))
    pattern = rf"(?<!\w)({'|'.join(patterns)})(?!\w)"
    return {hit.group(0).lower() for hit in re.finditer(pattern, prose, re.IGNORECASE)}


def found(patterns: tuple[str, ...], text: str, path: Path) -> set[str]:
    allowed = {word for part, word in EXCEPTIONS if part in str(path)}
    words, lower = {*re.findall(r"[\w-]+", text)}, text.lower()
    # A phrase ends with `(es)?` at most; most files have none.
    if phrases := "|".join(one for one in patterns if " " in one and one.partition("(")[0] in lower):
        words |= {hit.group(0) for hit in re.finditer(rf"(?<![^\W_])({phrases})(?![^\W_])", text, re.IGNORECASE)}
    # One search of all new words, and one of each only if there is an old word among them.
    new = words - KNOWN[patterns]
    hits = {word: banned(patterns, word) for word in new} if banned(patterns, "\n".join(new)) else {}
    KNOWN[patterns].update(word for word in new if not hits.get(word))
    return set().union(*hits.values()) - allowed


def identifiers(tree: ast.Module) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.arg):
            names.add(node.arg)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            names.add(node.attr)
    return names


def old_words(path: Path) -> set[str]:
    words, text = found(WORDS, str(path.relative_to(ROOT)), path), path.read_text()
    # Lines are searched only in a file that has a word, and only a file that has a word of identifiers is parsed.
    for number, line in enumerate(text.splitlines(), 1) if found(WORDS, text, path) else ():
        words |= {f"{number}: {word}" for word in found(WORDS, line, path)}
    if path.suffix == ".py" and found(IDENTIFIERS, text, path):
        names = identifiers(parsed(path))
        for name in names if found(IDENTIFIERS, " ".join(names), path) else ():
            words |= {f"identifier {name}: {word}" for word in found(IDENTIFIERS, name, path)}
    return words


def faults(path: Path) -> set[str]:
    """Find departures from the dialect in one source file."""
    text = path.read_text()
    tree = parsed(path)
    wrong: set[str] = set()
    if "``" in text:
        wrong.add("double backticks")
    if re.search(r"^\s+Attributes:$", text, re.MULTILINE) and not re.search(r"def __init__", text):
        wrong.add("an Attributes section: document each attribute under its field")
    if re.search(r"^(log|logger|LOG) = ", text, re.MULTILINE):
        wrong.add("a logger that is not called _log")
    if text.count("\n") > FILE_LINES:
        wrong.add(f"more than {FILE_LINES} lines")
    return wrong | {*unannotated(tree)} | {*long_functions(tree)} | {*without_cause(tree)}


def unannotated(tree: ast.Module) -> Iterator[str]:
    for node in tree.body:
        for target in node.targets if isinstance(node, ast.Assign) else []:
            if isinstance(target, ast.Name) and re.fullmatch(r"_?[A-Z][A-Z0-9_]+", target.id):
                yield f"line {node.lineno}: {target.id} is not annotated Final"


def long_functions(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if lines > FUNCTION_LINES:
                yield f"line {node.lineno}: {node.name} has {lines} lines, more than {FUNCTION_LINES}"


def without_cause(tree: ast.Module) -> Iterator[str]:
    """Find log events with the code of an error that leave out what it was translated from."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func).startswith("_log."):
            facts = {fact.arg: ast.unparse(fact.value) for fact in node.keywords}
            if facts.get("code") == "error.code" and not facts.keys() & {"reason", "exc_info"}:
                yield f"line {node.lineno}: the log event of an error has no reason"


def told(checked: dict[Path, set[str]]) -> list[str]:
    return [f"{path.relative_to(ROOT)}: {fault}" for path, some in sorted(checked.items()) for fault in sorted(some)]


def test_no_file_uses_an_old_word() -> None:
    suffixes = (".py", ".md", ".yaml", ".yml", ".tpl", ".txt", ".toml", "Makefile", "Dockerfile", ".json")
    assert told({path: old_words(path) for path in tracked(*suffixes)}) == []


def test_every_source_file_keeps_to_the_dialect() -> None:
    assert told({path: faults(path) for path in sources()}) == []


def test_every_test_name_is_a_sentence_of_at_most_70_characters() -> None:
    names = {
        name: path.relative_to(ROOT)
        for path in tracked(".py")
        if path.is_relative_to(ROOT / "tests")
        for name in re.findall(r"^ *(?:async )?def (test_\w+)", path.read_text(), re.MULTILINE)
    }
    assert len(names) > 1000
    assert {name: path for name, path in names.items() if len(name.removeprefix("test_")) > 70} == {}


def test_every_large_folder_has_a_readme() -> None:
    counts = Counter(path.parent for path in sources() if path.name != "__init__.py")
    large = [folder for folder, count in counts.items() if count > LARGE_FOLDER] + [ROOT / room for room in SOURCES]
    assert [str(folder.relative_to(ROOT)) for folder in large if not (folder / "README.md").is_file()] == []


if __name__ == "__main__":
    # For a person at work: `python tests/unit/test_house.py FOLDER ...` lists what is left to change there.
    here = [Path(name).resolve() for name in sys.argv[1:]]
    chosen = tracked(".py", ".md", ".yaml", ".tpl", ".toml", "Makefile", "Dockerfile")
    chosen = [path for path in chosen if any(path.is_relative_to(folder) for folder in here)]
    listed = told({path: old_words(path) | (faults(path) if path in sources() else set()) for path in chosen})
    sys.stdout.writelines(line + "\n" for line in listed)
