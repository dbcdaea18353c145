"""Reads the site's pages as they came out: links, anchors, menus, and what they load."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag


class Page(HTMLParser):
    """What a page links to, loads and can be linked by; and its paragraphs."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.anchors: set[str] = {""}
        self.paragraphs: list[str] = []
        self._open: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        said = {name: value or "" for name, value in attrs}
        self.anchors.update(said[name] for name in ("id", "name") if name in said)
        if tag == "a" and "href" in said:
            self.links.append(said["href"])
        if tag == "link" and said.get("rel") not in ("canonical", "prev", "next"):
            self.loads.append(said["href"])
        self.loads += [said[name] for name in ("src", "srcset") if name in said]
        if tag == "p":
            self.paragraphs.append("")
        self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        while tag in self._open and self._open.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        if "p" in self._open and "code" not in self._open and self.paragraphs:
            self.paragraphs[-1] += data


def problems(site: Path, least: int) -> Iterator[str]:
    paths = sorted(path for path in site.rglob("*.html") if path.name != "404.html")
    if len(paths) < least:
        yield f"{len(paths)} pages came of {least} documents"
    read = {path: Page(path) for path in paths}
    home = read.get(site / "index.html")
    listed = {_target(site / "index.html", link)[0] for link in home.links} if home else set()
    for path, page in read.items():
        name = path.relative_to(site)
        if path not in listed:
            yield f"{name}: is in no menu"
        for link in {*page.links, *page.loads}:
            if re.match(r"(?:https?:)?//", link):
                if link in page.loads:
                    yield f"{name}: loads {link} from elsewhere"
            elif not re.match(r"[a-z]+:", link):
                file, anchor = _target(path, link)
                if not file.is_file():
                    yield f"{name}: {link} leads nowhere"
                elif file in read and anchor not in read[file].anchors:
                    yield f"{name}: {link} leads to no such heading"
        for text in page.paragraphs:
            plain = re.search(r"^(?:[-*] |\d+\. |\||```|#+ )", text, re.MULTILINE)
            if plain:
                yield f"{name}: Markdown came out as text: {text[plain.start() :][:60]!r}"


def _target(page: Path, link: str) -> tuple[Path, str]:
    address, anchor = urldefrag(link)
    file = (page.parent / unquote(address)).resolve() if address else page
    return (file / "index.html" if file.is_dir() else file), unquote(anchor)
