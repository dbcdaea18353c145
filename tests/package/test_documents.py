"""The documents are true: examples run as written, links lead somewhere, no parameter is missing.

An example is a fenced block of Python. It runs in a module of its own, statement by statement, and
says in comments what comes of a statement:

    print(f(1))             #> what it prints; further lines follow as comments of their own
    f([])                   #! TypeError: what it raises

These comments may stand within the statement, in a `with` block. A statement that says nothing must
print nothing and raise nothing. A block behind the comment `<!-- not run: REASON -->` is skipped, and
the reason is shown; one behind `<!-- needs: numpy, pandas -->` only where one of these is not
installed (`make test-documents` installs all).
"""

from __future__ import annotations

import ast
import contextlib
import inspect
import io
import re
import sys
import tokenize
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import warp_cache
from warp_cache import cache, lru_cache

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted(
    [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").rglob("*.md")]
)
USAGE = ROOT / "docs" / "usage.md"

# The folders whose files documents name by their paths.
FOLDERS = sorted({"crates", "python", "tests", "docs", "examples", "scripts", "benchmarks", ".ci"})


def _name(document: Path) -> str:
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
    marks = r"(?:<!-- not run: (?P<why>[^\n]+?) -->\n\n?)?(?:<!-- needs: (?P<needs>[^\n]+?) -->\n\n?)?"
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
    ends = [first_line(statement) - 1 for statement in body[1:]] + [len(example.source.splitlines())]
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
            assert printed == want.prints, place
            assert raised == want.raises, place
    finally:
        del sys.modules[module.__name__]


@pytest.mark.parametrize("example", EXAMPLES, ids=str)
def test_an_example_runs_as_written(example: Example) -> None:
    if example.skipped is not None:
        pytest.skip(f"{example}: {example.skipped}")
    for module in example.needs:
        pytest.importorskip(module, reason=f"{example}: needs {module}")
    run(example)


def test_there_are_examples_in_readme_and_usage() -> None:
    counts = {name: 0 for name in ("README.md", "usage.md")}
    for example in EXAMPLES:
        if example.document.name in counts and example.skipped is None:
            counts[example.document.name] += 1
    assert counts["README.md"] >= 1 and counts["usage.md"] >= 10


@pytest.mark.parametrize(
    "source, problem",
    [
        ("print(1)\n", AssertionError),
        ("print(1) #> 2\n", AssertionError),
        ("x = 1 #> 1\n", AssertionError),
        ("int('x')\n", ValueError),
        ("x = 1 #! ValueError: x\n", AssertionError),
        ("int('x') #! ValueError: something else\n", AssertionError),
    ],
)
def test_a_wrong_example_is_found(source: str, problem: type[Exception]) -> None:
    with pytest.raises(problem):
        run(Example(USAGE, 1, source, None))


# --- links -------------------------------------------------------------------------------------


def anchors(document: Path) -> set[str]:
    """What the headings of a document are linked by."""
    headings = re.findall(r"^#+ +(.+?) *$", prose(document), re.MULTILINE)
    kept = [re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings]
    return {heading.replace(" ", "-") for heading in kept}


@pytest.mark.parametrize("document", DOCUMENTS, ids=_name)
def test_links_lead_somewhere(document: Path) -> None:
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(document)):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (document.parent / path).resolve() if path else document
        known = file.exists() and file.is_relative_to(ROOT)
        if not known or (anchor and anchor not in anchors(file)):
            broken.append(target)
    assert not broken


@pytest.mark.parametrize("document", DOCUMENTS, ids=_name)
def test_pictures_that_are_shown_exist(document: Path) -> None:
    shown = re.findall(r'(?:srcset|src)="([^"]+)"', prose(document))
    assert not [name for name in shown if not (document.parent / name).is_file()]


@pytest.mark.parametrize("document", DOCUMENTS, ids=_name)
def test_files_that_are_named_exist(document: Path) -> None:
    """`crates/engine/src/slab.rs` and the like, in code quotes: from the checkout's root."""
    missing = []
    for name in re.findall(r"`([\w.\-/]+/[\w.\-/]*)`", prose(document)):
        if name.split("/")[0] in FOLDERS and not (ROOT / name).exists():
            missing.append(name)
    assert not missing


@pytest.mark.parametrize("document", DOCUMENTS, ids=_name)
def test_make_targets_that_are_named_exist(document: Path) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z][\w.\-]*):", makefile, re.MULTILINE))
    patterns = [re.escape(t).replace("%", ".+") for t in re.findall(r"^(\S*%\S*):", makefile, re.M)]
    text = document.read_text(encoding="utf-8")
    named = set(re.findall(r"(?:^|`|-> )make ([a-z][\w.\-]*)", text, re.MULTILINE))
    assert not {t for t in named - targets if not any(re.fullmatch(p, t) for p in patterns)}


# --- what must be described --------------------------------------------------------------------


def rows(document: Path) -> dict[str, list[str]]:
    """The rows of a document's tables by the code in their first cell."""
    found: dict[str, list[str]] = {}
    for line in prose(document).splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if line.startswith("| `") and len(cells) > 1:
            found.setdefault(cells[0], cells[1:])
    return found


def default(decorator: Any, name: str) -> str:
    """A parameter's default as a reader of the documents writes it."""
    value = inspect.signature(decorator).parameters[name].default
    if isinstance(value, warp_cache.Strategy):
        return f"`Strategy.{value.name}`"
    if name == "max_size":
        return f"`{decorator(lambda: None).cache_parameters()['maxsize']}`"
    return f"`{value!r}`".replace("'", '"')


@pytest.mark.parametrize("decorator", [cache, lru_cache], ids=["cache", "lru_cache"])
def test_usage_describes_every_parameter(decorator: Any) -> None:
    described = rows(USAGE)
    column = 0 if decorator is cache else 1
    for name in inspect.signature(decorator).parameters:
        row = described[f"`{name}`"]
        assert len(row) == 3 and len(row[2]) > 20, name
        if name == "maxsize":
            continue  # another name of max_size
        if decorator is lru_cache and name == "single_flight":
            assert "`False`" in row[1] and "`True`" in row[1], "it depends on the function"
        else:
            assert row[column] == default(decorator, name), name


def test_usage_describes_every_method() -> None:
    text = prose(USAGE)
    names = {name for name in dir(cache(len)) if not name.startswith("_")}
    for name in [*sorted(names - {"of"}), "__wrapped__"]:
        assert re.search(rf"^\| `{name}(\(.*?\))?`", text, re.MULTILINE), name


def test_usage_describes_every_public_name() -> None:
    text = prose(USAGE)
    assert not {name for name in warp_cache.__all__ if f"`{name}" not in text}
    for strategy in warp_cache.Strategy:
        assert f"`Strategy.{strategy.name}`" in text


def test_a_sentence_says_what_a_picture_of_the_performance_shows() -> None:
    text = prose(ROOT / "docs" / "performance.md")
    sentences = re.findall(r"</picture>\n\n([A-Z][^<#|]+\.)\n", text)
    assert len(sentences) == text.count("</picture>") > 0


ARCHITECTURE = ROOT / "docs" / "architecture"
LAYOUT = ROOT / "crates" / "shared" / "src" / "file" / "layout.rs"


def test_the_architecture_has_a_row_for_every_word_of_the_file() -> None:
    """Each field that changes while the file is in use, as `name` or by a prefix, `name_*`."""
    text = prose(ARCHITECTURE / "shared.md")
    table = text.partition("### The words of the file")[2].partition("\n## ")[0]
    cells = [line.split("|")[1] for line in table.splitlines() if line.startswith("|")]
    rows = {name for cell in cells for name in re.findall(r"`(\w+\*?)`", cell)}
    structs = re.findall(r"^pub struct (\w+) \{\n(.*?)^\}", LAYOUT.read_text("utf-8"), re.M | re.S)
    described = {"Control", "Cell", "Meta", "AccessMeta", "Link", "Lease", "Proc"} & dict(
        structs
    ).keys()
    missing = [
        f"{struct}.{field}"
        for struct, body in structs
        for field in re.findall(r"^    pub ([a-z]\w*):", body, re.MULTILINE)
        if struct in described and field not in {*rows, "counters"}
        if not any(row.endswith("*") and field.startswith(row[:-1]) for row in rows)
    ]
    assert "Control" in described and not missing


def test_the_architecture_has_a_page_or_a_place_for_every_crate() -> None:
    overview = prose(ARCHITECTURE.with_suffix(".md"))
    for crate in (ROOT / "crates").iterdir():
        if (crate / "Cargo.toml").exists():
            assert f"| `crates/{crate.name}/` |" in overview, crate.name
    for page in ARCHITECTURE.glob("*.md"):
        assert f"(architecture/{page.name})" in overview, page.name


def test_departures_and_gaps_are_found_from_the_overview() -> None:
    overview = prose(ARCHITECTURE.with_suffix(".md")).lower()
    for heading in ("where the design was left", "what proves what", "known gaps"):
        assert f"[{heading}](architecture/decisions.md#" in overview, heading


def test_readme_keeps_the_place_of_the_numbers() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert re.search(r"<!-- numbers:begin -->\n.*?<!-- numbers:end -->\n", text, re.DOTALL)


def test_every_document_is_found_from_the_readme() -> None:
    """By links from document to document."""
    found, waiting = set[Path](), [ROOT / "README.md"]
    while waiting:
        document = waiting.pop()
        if document in found:
            continue
        found.add(document)
        for target in re.findall(r"\]\(([^)\s#]+\.md)", prose(document)):
            if not re.match(r"[a-z]+:", target):
                waiting.append((document.parent / target).resolve())
    assert not set(DOCUMENTS) - found


def test_changelog_has_the_version() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.search(rf"^## \[{re.escape(warp_cache.__version__)}\]", text, re.MULTILINE)
