"""Copies the documents to where the site is built, with links that hold there.

In the checkout, documents stand in several folders and link to each other by paths. In the site
they are in one: what is outside `docs/` gets a place in it, and a link to a file that is no page
becomes the text that it has.
"""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

from scripts.site import ROOT

DOCS = ROOT / "docs"
# Documents outside docs/, and where they stand in the site.
OUTSIDE = {
    "README.md": "index.md",
    "CHANGELOG.md": "project/changelog.md",
    "CONTRIBUTING.md": "project/contributing.md",
    "SECURITY.md": "project/security.md",
    "examples/asgi/README.md": "examples/asgi.md",
}


def places() -> dict[Path, str]:
    """Each document, and its path in the site."""
    inside = {path: str(path.relative_to(DOCS)) for path in sorted(DOCS.rglob("*.md"))}
    return inside | {ROOT / name: place for name, place in OUTSIDE.items()}


def stage(target: Path) -> int:
    """Fill the folder `target`; how many pages it then has."""
    shutil.copytree(DOCS, target, ignore=shutil.ignore_patterns("*.md"))
    found = places()
    for document, place in found.items():
        path = target / place
        path.parent.mkdir(parents=True, exist_ok=True)
        text = document.read_text(encoding="utf-8")
        path.write_text(rewritten(text, document, place, found), encoding="utf-8")
    return len(found)


def rewritten(text: str, document: Path, place: str, found: dict[Path, str]) -> str:
    """The text of a document with links as they are at its place in the site."""
    lines, fenced = [], False
    paragraphs: list[str] = []

    def flush() -> None:
        # A link's text may go over the end of a line.
        if paragraphs:
            lines.append(_links("\n".join(paragraphs), document, place, found))
            paragraphs.clear()

    for line in text.splitlines():
        fence = line.lstrip().startswith("```")
        if fence or fenced:
            flush()
            lines.append(line)
            fenced = fenced != fence
        else:
            paragraphs.append(line)
    flush()
    return "\n".join(lines) + "\n"


def _links(text: str, document: Path, place: str, found: dict[Path, str]) -> str:
    def link(match: re.Match[str]) -> str:
        words, target = match["words"], match["target"]
        if words is None:
            return match[0]
        if re.match(r"[a-z]+:|#", target):
            return match[0]
        path, _, anchor = target.partition("#")
        file = (document.parent / path).resolve()
        if file in found:
            there = found[file]
        elif file.is_relative_to(DOCS) and file.is_file():
            there = str(file.relative_to(DOCS))
        else:
            return words
        relative = os.path.relpath(there, Path(place).parent)
        return f"[{words}]({relative}{'#' + anchor if anchor else ''})"

    return re.sub(
        r"`[^`]*`|(?<!!)\[(?P<words>(?:[^\[\]]|\[[^\[\]]*\])+)\]\((?P<target>[^)\s]+)\)", link, text
    )
