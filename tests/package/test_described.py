"""The documents leave nothing out: each parameter, method, counter and option is described."""

from __future__ import annotations

import inspect
import re
from typing import Any, get_args

import pytest

import warp_cache
import warp_cache.testing
from tests.package.documents import DOCS, PAGES, PARAMETERS, REFERENCE, ROOT, prose, rows
from warp_cache import cache, lru_cache


def default(decorator: Any, name: str) -> str:
    """A parameter's default as a reader of the documents writes it."""
    value = inspect.signature(decorator).parameters[name].default
    if isinstance(value, warp_cache.Strategy):
        return f"`Strategy.{value.name}`"
    if name == "max_size":
        return f"`{decorator(lambda: None).cache_parameters()['maxsize']}`"
    return f"`{value!r}`".replace("'", '"')


@pytest.mark.parametrize("decorator", [cache, lru_cache], ids=["cache", "lru_cache"])
def test_the_reference_describes_every_parameter(decorator: Any) -> None:
    described = rows(PARAMETERS)
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


async def _coroutine_function() -> None: ...


@pytest.mark.parametrize("function", [len, _coroutine_function], ids=["plain", "coroutine"])
def test_the_reference_describes_every_method(function: Any) -> None:
    text = prose(REFERENCE / "methods.md")
    # Not of the object: its `__class__` is functools'.
    names = {name for name in dir(type(cache(function))) if not name.startswith("_")}
    assert {"get", "cache_invalidate"} < names
    for name in [*sorted(names), "__wrapped__"]:
        assert re.search(rf"^\| `{name}(\(.*?\))?`", text, re.MULTILINE), name


def test_the_reference_describes_every_public_name() -> None:
    text = "".join(prose(page) for page in PAGES["reference"])
    assert not {name for name in warp_cache.__all__ if f"`{name}" not in text}
    module = rows(REFERENCE / "module.md")
    strategies = prose(DOCS / "explanation" / "eviction.md")
    for strategy in warp_cache.Strategy:
        assert f"`Strategy.{strategy.name}` = {strategy.value} |" in strategies
        assert f"`{strategy.name}`" in module["`Strategy`"][0]
    for backend in warp_cache.Backend:
        assert f"`{backend.name}` = {backend.value}" in module["`Backend`"][0]
    causes = rows(DOCS / "how-to" / "sizes.md")
    for cause in warp_cache.RemovalCause:
        assert f"`{cause.name}`" in causes and f"`{cause.name}`" in module["`RemovalCause`"][0]
    assert {f"`{name}" for name in warp_cache.testing.__all__} <= {
        re.split(r"[.(]", name)[0] for name in module
    }


def test_the_reference_describes_every_counter() -> None:
    described = rows(REFERENCE / "counters.md")
    shared = warp_cache.SharedCacheInfo
    attributes = {name for name in dir(shared) if not name.startswith("_")} - set(dir(tuple))
    told = {name for row in described for name in re.findall(r"`(\w+)`", row)}
    assert "stale_hits" in attributes and not attributes - told
    assert {f'`"{reason}"`' for reason in get_args(warp_cache.SkipReason)} <= described.keys()


def test_the_reference_describes_every_variable_of_the_environment() -> None:
    sources = [*ROOT.glob("python/warp_cache/**/*.py"), *ROOT.glob("crates/*/src/**/*.rs")]
    read = {
        name
        for source in sources
        for name in re.findall(r"\bWARP_CACHE_[A-Z]+\b", source.read_text(encoding="utf-8"))
    }
    told = set(re.findall(r"WARP_CACHE_[A-Z]+", prose(REFERENCE / "module.md")))
    assert "WARP_CACHE_DIR" in read and read == told


def test_a_sentence_says_what_a_picture_of_the_performance_shows() -> None:
    text = prose(ROOT / "docs" / "performance.md")
    sentences = re.findall(r"</picture>\n\n([A-Z][^<#|]+\.)\n", text)
    assert len(sentences) == text.count("</picture>") > 0


ARCHITECTURE = ROOT / "docs" / "architecture"
LAYOUT = ROOT / "crates" / "shared" / "src" / "file" / "layout.rs"
COHERENCE_LAYOUT = ROOT / "crates" / "remote" / "src" / "coherence" / "layout.rs"


def words_in_table(page: str, heading: str) -> set[str]:
    """The names in the first column of the table below a heading."""
    text = prose(ARCHITECTURE / page)
    table = re.split(r"\n##", text.partition(f"### {heading}\n")[2])[0]
    cells = [line.split("|")[1] for line in table.splitlines() if line.startswith("|")]
    return {name for cell in cells for name in re.findall(r"`(\w+\*?)`", cell)}


def test_the_architecture_has_a_row_for_every_word_of_the_coherence_file() -> None:
    places = (
        COHERENCE_LAYOUT.read_text("utf-8").partition("pub(super) mod at {")[2].partition("\n}")[0]
    )
    words = {name.lower() for name in re.findall(r"pub const (\w+): usize", places)} - {"end"}
    assert (
        {"confirmed", "epoch"}
        <= words
        <= words_in_table("remote.md", "The words of the coherence file")
    )


def test_the_architecture_has_a_row_for_every_word_of_the_file() -> None:
    """Each field that changes while the file is in use, as `name` or by a prefix, `name_*`."""
    rows = words_in_table("shared.md", "The words of the file")
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
