"""`ls` and `info`: which caches there are, whose, how they stand; and which one a name means."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.operate.older import files_of, make_older


def listed(run: Any, *arguments: str) -> dict[str, dict[str, Any]]:
    status, out, errors = run("ls", "--json", *arguments)
    assert (status, errors) == (0, "")
    return {cache["full_name"]: cache for cache in json.loads(out)["caches"]}


def test_nothing_to_list(run: Any, cache_dir: Path) -> None:
    assert run("ls") == (0, f"There are no shared caches in {cache_dir}.\n", "")
    document = json.loads(run("ls", "--json")[1])
    assert document["caches"] == [] and document["directories"][0]["exists"] is False
    status, out, errors = run("ls", "--directory", str(cache_dir))
    assert (status, out) == (2, "")
    assert errors == f"warp_cache ls: {cache_dir}: there is no such directory\n"
    assert not cache_dir.exists(), "who looks makes nothing"


@pytest.mark.skipif(sys.platform != "linux", reason="names are text elsewhere")
def test_a_name_that_is_no_text_is_told(run: Any, worker: Any, cache_dir: Path) -> None:
    worker().ask("load(1)")
    Path(os.fsdecode(os.fsencode(cache_dir) + b"/odd\xff.cache")).touch()
    status, out, errors = run("ls")
    assert status == 0 and "app.load" in out
    assert errors == f"{cache_dir}/odd\\udcff.cache: its name is no text, so it is no cache's\n"
    (place,) = json.loads(run("ls", "--json")[1])["directories"]
    assert place["unreadable"] == ["odd\\udcff.cache"] and place["caches"] == 1


def test_the_table_and_its_numbers(run: Any, worker: Any) -> None:
    first, second = worker(), worker()
    for one in (first, second, first):
        one.ask("[load(i) for i in range(1, 6)]")
    second.ask("named(1)")
    status, out, errors = run("ls")
    assert (status, errors) == (0, "")
    rows = {line.split()[0]: line.split() for line in out.splitlines()}
    assert set(rows) == {"NAME", "app.load", "named"}
    # entries, kB, hit ratio, processes, state
    assert rows["app.load"][1] == "5" and rows["app.load"][4:6] == ["67", "%"]
    assert rows["app.load"][6] == "2" and rows["named"][6] == "1"
    assert out.splitlines()[1].endswith("in use")
    caches = listed(run)
    (load,) = (cache for cache in caches.values() if cache["name"] == "app.load")
    assert load["processes"] == sorted([first.pid, second.pid], key=load["processes"].index)
    assert set(load["processes"]) == {first.pid, second.pid}
    assert load["owner"] == os.geteuid() and load["state"] == "in use"
    counted = load["counted"]
    assert (counted["hits"], counted["misses"], counted["entries"]) == (10, 5, 5)
    assert (counted["max_size"], counted["strategy"], counted["loads"]) == (100, "LRU", 5)
    assert counted["skips"] == {}
    # The command itself is none of them, and a process that has ended neither.
    first.close()
    (load,) = (cache for cache in listed(run).values() if cache["name"] == "app.load")
    assert load["processes"] == [second.pid]


def test_states(run: Any, worker: Any, cache_dir: Path) -> None:
    one = worker()
    one.ask("(load(1), named(1), pickled(1))")
    one.close()
    load = next(path for name, path in files_of(cache_dir).items() if name.startswith("app.load"))
    for name in ("format", "short", "zeros", "text", "wide"):
        shutil.copy(load, cache_dir / f"{name}.cache")
    make_older(cache_dir / "format.cache")
    os.truncate(cache_dir / "short.cache", 9000)
    (cache_dir / "zeros.cache").write_bytes(bytes(100_000))
    (cache_dir / "text.cache").write_text("not a cache")
    os.chmod(cache_dir / "wide.cache", 0o644)
    (cache_dir / "link.cache").symlink_to("/etc/passwd")
    (cache_dir / "other.txt").write_text("")
    status, out, errors = run("ls")
    assert status == 0
    states = {line.split()[0]: line for line in out.splitlines()[1:]}
    assert states["format"].endswith("format 7")
    assert states["short"].endswith("damaged")
    assert states["zeros"].endswith("no cache") and states["text"].endswith("no cache")
    assert states["wide"].endswith("refused") and states["link"].endswith("refused")
    assert "other" not in out
    assert "its permissions are 0644" in errors and "it is a symbolic link" in errors
    for name, message in {
        "format": "is of format 7, which this version of warp_cache cannot read",
        "zeros": "is no cache's file",
        "wide": "its permissions are 0644",
        "link": "it is a symbolic link",
        "short": "is damaged",
    }.items():
        for command in (["info"], ["keys"], ["clear", "--yes"], ["drop"]):
            more = ["1"] if command == ["drop"] else []
            status, out, errors = run(*command, name, *more)
            assert (status, out) == (2, ""), (command, name, out)
            assert message in errors and "Traceback" not in errors
    assert (cache_dir / "text.cache").read_text() == "not a cache"


def test_older_code(run: Any, app: Path, worker: Any) -> None:
    old = worker()
    old.ask("load(1)")
    old.close()
    source = (app / "app.py").read_text()
    (app / "app.py").write_text(source.replace('"x": x,', '"x": x + 1,'))
    new = worker()
    new.ask("load(1)")
    states = sorted(cache["state"] for cache in listed(run).values())
    assert states == ["in use", "older code"]
    # Two of one name are told apart, and one is asked for.
    status, out, _ = run("ls")
    names = [line.split()[0] for line in out.splitlines()[1:]]
    assert all(name.startswith("app.load-") and len(name) > 40 for name in names)
    status, _, errors = run("info", "app.load")
    assert status == 2 and errors.startswith("warp_cache info: 2 caches are called app.load; say ")
    assert all(name in errors for name in names)
    for name in names:
        status, out, _ = run("info", name[:16])
        assert status == 0 and name in out
    new.close()
    assert {cache["state"] for cache in listed(run).values()} == {"idle"}


def test_info(run: Any, worker: Any, cache_dir: Path) -> None:
    one = worker()
    one.ask("[load(i) for i in (1, 2, 1)]")
    status, out, errors = run("info", "app.load")
    assert (status, errors) == (0, "")
    lines = dict(line.split("  ", 1) for line in out.splitlines()[1:])
    said = {what.strip(): text.strip() for what, text in lines.items()}
    assert said["entries"] == "2 of 100" and said["strategy"] == "LRU"
    assert (said["hits"], said["misses"], said["hit ratio"]) == ("1", "2", "33 %")
    assert said["processes"] == f"1 ({one.pid})" and said["state"] == "in use"
    path = Path(said["file"])
    assert path.parent == cache_dir and path.is_file()
    # By its path, by its full name, by the beginning of that.
    for name in (str(path), path.stem, path.stem[:20]):
        assert run("info", name)[:2] == (0, out) or run("info", name)[0] == 0
    document = json.loads(run("info", "app.load", "--json")[1])
    assert document["path"] == str(path) and document["counted"]["entries"] == 2


@pytest.mark.parametrize(
    "name", ["nothing", "app.loa.", "", "/nowhere/x.cache", "../x", "a\x1b[31m", "a\udcff"]
)
def test_wrong_names(run: Any, worker: Any, name: str) -> None:
    worker().ask("load(1)")
    status, out, errors = run("info", name)
    if name == "":
        # The beginning of every name.
        assert status == 0
        return
    assert (status, out) == (2, "") and errors.count("\n") == 1
    assert "no cache is called" in errors or "no such directory" in errors
    assert "\x1b" not in errors


@pytest.mark.parametrize("name", ["all the prices", "värden", "a/b", "../up", "x" * 300, ".dot"])
def test_a_cache_is_found_by_the_name_that_it_was_given(run: Any, worker: Any, name: str) -> None:
    one = worker()
    # Nothing is kept under this one; it begins alike.
    one.ask("cache(name='all_the_numbers', backend='shared')(str)(1)")
    # (A long one leaves no room for what else its file is called.)
    for namespace in ("tests", None) if len(name) < 100 else (None,):
        one.ask(f"cache(name={name!r}, namespace={namespace!r}, backend='shared')(str)(1)")
        status, out, errors = run("info", "--json", "--", name)
        assert (status, errors) == (0, ""), namespace
        assert json.loads(out)["counted"]["entries"] == 1


def test_caches_of_several_default_places(
    run: Any, worker: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for at in ("one", "two"):
        (tmp_path / at).mkdir()
        worker(WARP_CACHE_DIR="", TMPDIR=str(tmp_path / at)).ask("named(1)")
    user = os.geteuid()
    paths = [str(tmp_path / at / f"warp_cache-{user}") for at in ("one", "two")]
    status, _, errors = run("info", f"{paths[0]}/named.cache")
    assert (status, errors) == (0, "")
    assert list(listed(run, "--directory", paths[1])) == ["named"]
    monkeypatch.delenv("WARP_CACHE_DIR")
    monkeypatch.setenv("TMPDIR", str(tmp_path / "one"))
    there = json.loads(run("ls", "--json")[1])
    assert there["directories"][0]["directory"] == paths[0]
    assert paths[0] in {os.path.dirname(cache["path"]) for cache in there["caches"]}
