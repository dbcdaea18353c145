"""The documents of the checkout, and the examples in them, which this runs.

An example is a fenced block of Python. It runs in a module of its own, statement by statement, and
says in comments what comes of a statement:

    print(f(1))             #> what it prints; further lines follow as comments of their own
    f([])                   #! TypeError: what it raises

These comments may stand within the statement, in a `with` block. A statement that says nothing must
print nothing and raise nothing. A block behind the comment `<!-- not run: REASON -->` is skipped,
and the reason is shown; one behind `<!-- needs: numpy, pandas -->` is skipped only where one of
these is not installed (`make test-documents` installs all).
"""

from __future__ import annotations

import ast
import contextlib
import io
import re
import sys
import tokenize
import types
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted(
    [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").rglob("*.md")]
)
DOCS = ROOT / "docs"
REFERENCE = DOCS / "reference"
PARAMETERS = REFERENCE / "parameters.md"
# The pages for users, by their folders.
PAGES = {
    folder: sorted((DOCS / folder).glob("*.md"))
    for folder in ("how-to", "reference", "explanation", "migrating")
}


def relative(document: Path) -> str:
    return str(document.relative_to(ROOT))


class Example(NamedTuple):
    document: Path
    line: int
    source: str
    skipped: str | None = None
    needs: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.document.name}:{self.line}"


def prose(document: Path) -> str:
    """A document's text without its fenced blocks, whose lines are left empty."""
    lines, fenced = [], False
    for line in document.read_text(encoding="utf-8").splitlines():
        if line.lstrip().startswith("```"):
            fenced = not fenced
            line = ""
        lines.append("" if fenced else line)
    return "\n".join(lines)


def examples(document: Path) -> Iterator[Example]:
    text = document.read_text(encoding="utf-8")
    marks = (
        r"(?:<!-- not run: (?P<why>[^\n]+?) -->\n\n?)?(?:<!-- needs: (?P<needs>[^\n]+?) -->\n\n?)?"
    )
    fence = rf"^{marks}```python\n(?P<source>.*?)^```$"
    for found in re.finditer(fence, text, re.DOTALL | re.MULTILINE):
        line = text.count("\n", 0, found.start("source")) + 1
        needs = re.findall(r"[\w.]+", found["needs"] or "")
        yield Example(document, line, found["source"], found["why"], tuple(needs))


EXAMPLES = [example for document in DOCUMENTS for example in examples(document)]


class Expected(NamedTuple):
    prints: str
    raises: str | None


def comments(source: str) -> list[tuple[int, str]]:
    """The comments of a source, each with the number of its line."""
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return [(token.start[0], token.string) for token in tokens if token.type == tokenize.COMMENT]


def expected(said: list[tuple[int, str]], first: int, last: int) -> Expected:
    """What the comments say in the lines of a statement, and in those up to the next one."""
    printed, raised = [], None
    for line, comment in said:
        if not first <= line <= last:
            continue
        if comment.startswith("#>"):
            printed.append(comment[2:].strip())
        elif comment.startswith("#!"):
            assert raised is None, "one exception for each statement"
            raised = comment[2:].strip()
    return Expected("\n".join(printed), raised)


def first_line(statement: ast.stmt) -> int:
    """Where a statement begins, its decorators included."""
    decorators = getattr(statement, "decorator_list", [])
    return min([statement.lineno, *(decorator.lineno for decorator in decorators)])


def run(example: Example) -> None:
    module = types.ModuleType("warp_cache_document")
    said = comments(example.source)
    body = ast.parse(example.source).body
    ends = [first_line(statement) - 1 for statement in body[1:]] + [
        len(example.source.splitlines())
    ]
    sys.modules[module.__name__] = module
    try:
        for statement, until in zip(body, ends, strict=True):
            want = expected(said, first_line(statement), until)
            raised = None
            place = f"{example.document.name}, line {example.line + statement.lineno - 1}"
            tree = ast.increment_lineno(ast.Module([statement], []), example.line - 1)
            code = compile(tree, str(example.document), "exec", dont_inherit=True)
            with contextlib.redirect_stdout(io.StringIO()) as out:
                try:
                    exec(code, module.__dict__)
                except Exception as error:
                    if want.raises is None:
                        raise
                    raised = f"{type(error).__name__}: {error}"
            printed = "\n".join(line.rstrip() for line in out.getvalue().splitlines())
            assert printed == want.prints, f"{place}: printed\n{printed}\nnot\n{want.prints}"
            assert raised == want.raises, f"{place}: raised {raised}, not {want.raises}"
    finally:
        del sys.modules[module.__name__]


def rows(document: Path) -> dict[str, list[str]]:
    """The rows of a document's tables by the code in their first cell."""
    found: dict[str, list[str]] = {}
    for line in prose(document).splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if line.startswith("| `") and len(cells) > 1:
            found.setdefault(cells[0], cells[1:])
    return found
