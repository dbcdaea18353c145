"""The documents are true: examples run as written, links lead somewhere, every page is found."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path

import pytest

import warp_cache
from tests.package.documents import (
    DOCS,
    DOCUMENTS,
    EXAMPLES,
    PAGES,
    PARAMETERS,
    ROOT,
    Example,
    examples,
    prose,
    relative,
    run,
)

# The folders whose files documents name by their paths.
FOLDERS = sorted({"crates", "python", "tests", "docs", "examples", "scripts", "benchmarks", ".ci"})


def is_taken(module: str) -> bool:
    """Whether another test of this process has given the framework settings, which are for good."""
    if module != "django":
        return False
    from django.conf import settings

    return settings.configured and not settings.CACHES


@pytest.mark.parametrize("example", EXAMPLES, ids=str)
def test_an_example_runs_as_written(example: Example) -> None:
    if example.skipped is not None:
        pytest.skip(f"{example}: {example.skipped}")
    for module in example.needs:
        pytest.importorskip(module, reason=f"{example}: needs {module}")
        if is_taken(module):
            pytest.skip(
                f"{example}: another test has set {module} up; `make test-documents` runs it"
            )
    # Without a GIL, what earlier examples made may live on: it is not to tell this one of its end.
    with contextlib.redirect_stdout(io.StringIO()):
        warp_cache.clear_all()
    run(example)


WITH_EXAMPLES = [ROOT / "README.md", DOCS / "quick-start.md", *PAGES["how-to"]]


@pytest.mark.parametrize("document", WITH_EXAMPLES, ids=relative)
def test_a_page_that_shows_how_has_examples_that_run_everywhere(document: Path) -> None:
    mine = [example for example in EXAMPLES if example.document == document]
    if document.name not in ("production.md", "docker.md", "remote-operations.md"):  # shell, YAML
        assert any(not example.skipped and not example.needs for example in mine)


@pytest.mark.parametrize("document", DOCUMENTS, ids=relative)
def test_a_mark_belongs_to_an_example(document: Path) -> None:
    """One that is misspelt, or away from its block, would be none."""
    text = document.read_text(encoding="utf-8")
    marks = re.findall(r"^<!-- (?:not run|needs)\b", text, re.MULTILINE)
    before = re.findall(r"^<!-- .*-->\n\n?```python$", text, re.MULTILINE)
    marked = [example for example in examples(document) if example.skipped or example.needs]
    assert len(marks) == len(before) == len(marked)


@pytest.mark.parametrize(
    "source, problem",
    [
        ("print(1)\n", AssertionError),
        ("print(1) #> 2\n", AssertionError),
        ("x = 1 #> 1\n", AssertionError),
        ("int('x')\n", ValueError),
        ("x = 1 #! ValueError: x\n", AssertionError),
        ("int('x') #! ValueError: something else\n", AssertionError),
        ("if True:\n    print(1) #> 2\n", AssertionError),
        ("if True:\n    x = 1 #> 1\n    print(2)\n", AssertionError),
    ],
)
def test_a_wrong_example_is_found(source: str, problem: type[Exception]) -> None:
    with pytest.raises(problem):
        run(Example(PARAMETERS, 1, source))


# --- links -------------------------------------------------------------------------------------


def anchors(document: Path) -> set[str]:
    """What the headings of a document are linked by."""
    headings = re.findall(r"^#+ +(.+?) *$", prose(document), re.MULTILINE)
    kept = [re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings]
    return {heading.replace(" ", "-") for heading in kept}


@pytest.mark.parametrize("document", DOCUMENTS, ids=relative)
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


@pytest.mark.parametrize("document", DOCUMENTS, ids=relative)
def test_pictures_that_are_shown_exist(document: Path) -> None:
    shown = re.findall(r'(?:srcset|src)="([^"]+)"', prose(document))
    assert not [path for path in shown if not (document.parent / path).is_file()]


@pytest.mark.parametrize("document", DOCUMENTS, ids=relative)
def test_files_that_are_named_exist(document: Path) -> None:
    """`crates/engine/src/slab.rs` and the like, in code quotes: from the checkout's root."""
    missing = []
    for path in re.findall(r"`([\w.\-/]+/[\w.\-/]*)`", prose(document)):
        if path.split("/")[0] in FOLDERS and not (ROOT / path).exists():
            missing.append(path)
    assert not missing


@pytest.mark.parametrize("document", DOCUMENTS, ids=relative)
def test_make_targets_that_are_named_exist(document: Path) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z][\w.\-]*):", makefile, re.MULTILINE))
    patterns = [re.escape(t).replace("%", ".+") for t in re.findall(r"^(\S*%\S*):", makefile, re.M)]
    text = document.read_text(encoding="utf-8")
    named = set(re.findall(r"(?:^|`|-> )make ([a-z][\w.\-]*)", text, re.MULTILINE))
    assert not {t for t in named - targets if not any(re.fullmatch(p, t) for p in patterns)}


# --- every page is found -------------------------------------------------------------------------


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


def test_every_page_for_users_is_in_their_list_and_short() -> None:
    listed = set(re.findall(r"\]\(([^)#]+\.md)\)", prose(DOCS / "usage.md")))
    for folder, pages in PAGES.items():
        assert pages
        for page in pages:
            assert f"{folder}/{page.name}" in listed
            assert page.read_text(encoding="utf-8").count("\n") <= 200, page
    assert (DOCS / "quick-start.md").read_text(encoding="utf-8").count("\n") <= 50


def test_changelog_has_the_version() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.search(rf"^## \[{re.escape(warp_cache.__version__)}\]", text, re.MULTILINE)
