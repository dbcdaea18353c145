"""The drawings of the documents: they stand alone, in light and dark, with all words inside."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.package.documents import DOCS, DOCUMENTS, prose

DIAGRAMS = sorted((DOCS / "diagrams").glob("*.svg"))
SVG = "{http://www.w3.org/2000/svg}"
# A character's width at most, as a part of its size, of the fonts that are asked for.
WIDEST = 0.68


def test_every_drawing_is_shown_with_words_for_those_who_do_not_see_it() -> None:
    shown = {
        Path(target).name
        for document in DOCUMENTS
        for words, target in re.findall(r"!\[([^\]]*)\]\(([^)]+\.svg)\)", prose(document))
        if len(words) > 40
    }
    assert DIAGRAMS and {path.name for path in DIAGRAMS} == shown


@pytest.mark.parametrize("path", DIAGRAMS, ids=lambda path: path.name)
def test_a_drawing_needs_nothing_from_elsewhere(path: Path) -> None:
    text = path.read_text(encoding="utf-8").replace('xmlns="http://www.w3.org/2000/svg"', "")
    assert not re.search(r"https?:|@import|<script|<image|href=", text)
    assert "prefers-color-scheme: dark" in text
    assert ElementTree.parse(path).getroot().find(f"{SVG}title") is not None


@pytest.mark.parametrize("path", DIAGRAMS, ids=lambda path: path.name)
def test_words_stay_within_a_drawing(path: Path) -> None:
    root = ElementTree.parse(path).getroot()
    width = float(root.attrib["viewBox"].split()[2])
    texts = root.findall(f"{SVG}text")
    assert texts
    for text in texts:
        size = 14 if text.attrib["class"] == "title" else 12
        length = WIDEST * size * len(text.text or "")
        start = float(text.attrib["x"])
        start -= {"middle": length / 2, "end": length}.get(text.get("text-anchor", ""), 0)
        assert start >= 0 and start + length <= width, text.text
