"""The site of the documents: its menu has every page, its links hold, no name is untold."""

from __future__ import annotations

import ast
import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.site import api, pages, stage
from tests.package.documents import DOCUMENTS, ROOT

MENU = set(re.findall(r"^ +- ([\w/.-]+\.md)$", (ROOT / "mkdocs.yml").read_text("utf-8"), re.M))


def test_every_document_is_in_the_menu() -> None:
    assert {*stage.places().values(), "reference/api.md"} == MENU


def test_every_public_name_says_what_it_is() -> None:
    assert list(api.problems()) == []


def test_the_page_of_the_api_has_every_public_name() -> None:
    headings = set(re.findall(r"^### (\w+)$", api.page(), re.MULTILINE))
    assert {name for module in api.modules() for name in getattr(module, "__all__", ())} <= headings
    assert "#### CachedFunction.cache_refresh" in api.page()
    # Of bases that have no part of their own, too; and a value that is no type says what it is for.
    assert "#### Cache.get\n" in api.page() and "#### Cache.aget\n" in api.page()
    assert "### DELETE\n\nWhat a callable" in api.page()


def test_every_public_name_is_in_a_page_that_somebody_has_written() -> None:
    """Of modules, too, whose libraries are not there: their names are read, not imported."""
    names: list[str] = []
    for module in ("__init__", *api.names_of_modules()):
        path = api.PACKAGE / f"{module}.py"
        text = path if path.exists() else api.PACKAGE / module / "__init__.py"
        (found,) = re.findall(r"^__all__ = (\[[^\]]*\])", text.read_text("utf-8"), re.MULTILINE)
        names += ast.literal_eval(found)
    written = "\n".join(document.read_text("utf-8") for document in DOCUMENTS)
    assert len(names) > 30
    assert [name for name in names if not re.search(rf"\b{re.escape(name)}\b", written)] == []


def test_modules_that_cannot_be_imported_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "_imported", lambda name: None)
    assert {"warp_cache.django", "warp_cache.limits", "warp_cache.testing"} <= set(api.missing())


@pytest.mark.parametrize(
    ("document", "text", "staged"),
    [
        ("README.md", "[a](docs/usage.md#b)", "[a](usage.md#b)"),
        ("README.md", "[a\nb](SECURITY.md)", "[a\nb](project/security.md)"),
        ("README.md", "[a](LICENSE), [`b`](#c)", "a, [`b`](#c)"),
        ("docs/how-to/keys.md", "[a](../../CHANGELOG.md)", "[a](../project/changelog.md)"),
        ("docs/how-to/keys.md", "[a](sizes.md) `[b](c.md)`", "[a](sizes.md) `[b](c.md)`"),
        ("docs/how-to/keys.md", "```\n[a](../../README.md)\n```", "```\n[a](../../README.md)\n```"),
    ],
)
def test_links_are_those_of_the_site(document: str, text: str, staged: str) -> None:
    path = ROOT / document
    found = stage.places()
    assert stage.rewritten(text, path, found[path], found) == staged + "\n"


GOOD = '<a href="index.html">i</a><a href="b.html#here">b</a><h2 id="here"></h2><p>text</p>'


@pytest.mark.parametrize(
    ("added", "problem"),
    [
        ("", None),
        ('<a href="c.html">', "b.html: c.html leads nowhere"),
        ('<a href="index.html#there">', "b.html: index.html#there leads to no such heading"),
        ('<img src="c.svg">', "b.html: c.svg leads nowhere"),
        ('<script src="https://a.example/b.js"></script>', "b.html: loads https://a.example/b.js"),
        ("<p>text\n- an item</p>", "b.html: Markdown came out as text: '- an item'"),
        ("<p>text\n<code>- none</code></p>", None),
    ],
)
def test_what_is_wrong_with_a_page_is_found(
    tmp_path: Path, added: str, problem: str | None
) -> None:
    for name in ("index.html", "b.html"):
        (tmp_path / name).write_text(GOOD, encoding="utf-8")
    (tmp_path / "b.html").write_text(GOOD + added, encoding="utf-8")
    found = [one for one in pages.problems(tmp_path, 2)]
    assert [one.partition(" from elsewhere")[0] for one in found] == ([problem] if problem else [])


def test_a_page_that_no_menu_has_is_found(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text('<a href="index.html">', encoding="utf-8")
    (tmp_path / "b.html").write_text(GOOD, encoding="utf-8")
    assert list(pages.problems(tmp_path, 3)) == [
        "2 pages came of 3 documents",
        "b.html: is in no menu",
    ]


@pytest.mark.skipif(importlib.util.find_spec("zensical") is None, reason="needs zensical")
def test_the_site_can_be_built_and_read_without_a_network() -> None:
    command = [sys.executable, "-m", "scripts.site"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr
