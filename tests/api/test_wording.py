"""The words of messages: what is put into one fits whatever it is."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PYTHON = sorted((ROOT / "python" / "warp_cache").rglob("*.py"))
RUST = sorted((ROOT / "crates").glob("*/src/**/*.rs"))
# An article before what is worked out, "a {kind}", fits some kinds ("a list") and not others ("a
# int"); "of type {kind}" fits all. Names of a backend all begin with a consonant.
ARTICLE = re.compile(r"\b[Aa]n? \{(?!backend\})")
# "a error", "an list", and a small word that stands twice.
SLIP = re.compile(
    r"\b(?:[Aa] (?:[ai]|e(?!u)|o(?!ne))|[Aa]n [bcdfgjklmnpqrtvwxz])[a-z]+"
    r"|\b(the|an?|of|to|is|in|and|by|it|or) \1\b"
)
STRING = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)


def pieces(source: str) -> Iterator[str]:
    """The strings of a Python source; what is worked out in one stands there as in an f-string."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.JoinedStr):
            yield "".join(
                part.value if isinstance(part, ast.Constant) else f"{{{ast.unparse(part.value)}}}"
                for part in node.values
                if isinstance(part, (ast.Constant, ast.FormattedValue))
            )
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def literals(source: str) -> Iterator[str]:
    """The strings of a Rust source, without those of its comments."""
    code = re.sub(r"^\s*//.*$", "", source, flags=re.MULTILINE)
    for found in STRING.finditer(code):
        yield re.sub(r"\\\n\s*", "", found[1])


def is_wrong(text: str) -> bool:
    return bool(ARTICLE.search(text) or SLIP.search(text))


@pytest.mark.parametrize(
    "paths, read", [(PYTHON, pieces), (RUST, literals)], ids=["python", "rust"]
)
def test_articles_fit(paths: list[Path], read: Callable[[str], Iterator[str]]) -> None:
    found = [(path, text) for path in paths for text in read(path.read_text(encoding="utf-8"))]
    assert len(found) > 1000
    assert not [(path.name, text) for path, text in found if is_wrong(text)]


@pytest.mark.parametrize(
    "source",
    [
        'raise TypeError(f"got a {kind}")',
        'raise TypeError("it"\n f"is an {kind.__name__}, " f"and more")',
        'raise TypeError("give an name")',
        'raise TypeError("give a option")',
        'raise TypeError("see the the manual")',
    ],
)
def test_what_does_not_fit_is_found(source: str) -> None:
    assert any(map(is_wrong, pieces(source)))


def test_strings_of_rust_are_found() -> None:
    source = '// "a {comment}"\nformat!("is \\"a \\\n    {kind}\\" or so");'
    assert list(literals(source)) == ['is \\"a {kind}\\" or so']
