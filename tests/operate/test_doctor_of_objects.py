"""`doctor` looks at cache objects, at directories of their own, and at why nobody opens a file."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.operate.test_doctor import about, only_this_test, said  # noqa: F401

SOURCE = """
import os
from warp_cache import Cache, cache

class Kept(Cache):
    pass

own = Cache(name="own", backend="shared", max_size=50, directory=os.environ["OWN"])
kept = Kept(name="kept", backend="shared", max_size=50)

@own.memoize()
def square(x):
    return x * x

@kept.memoize()
def cube(x):
    return x ** 3

class Kind:
    @kept.memoize(ignore=("self",))
    def method(self, x):
        return x

@cache(backend="shared", name="f")
def f(x):
    return x
"""


@pytest.fixture
def objects(app: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The module ``objects_app`` can be imported; the directory of the cache that has its own."""
    (app / "objects_app.py").write_text(SOURCE)
    own = tmp_path / "own"
    monkeypatch.setenv("OWN", str(own))
    return own


@pytest.mark.parametrize("name", ["kept", "cube", "Kind.method", "f"])
def test_all_kinds_are_looked_at(run: Any, objects: Path, cache_dir: Path, name: str) -> None:
    status, findings = said(run, f"objects_app:{name}")
    assert status == 0 and f"has its cache in {cache_dir}" in about(findings, "file", "ok")


@pytest.mark.parametrize("name", ["own", "square"])
def test_a_directory_of_its_own(run: Any, worker: Any, objects: Path, name: str) -> None:
    one = worker("from objects_app import *")
    one.ask("(square(3), f(1))")
    status, findings = said(run, f"objects_app:{name}")
    text = about(findings, "file", "ok")
    assert status == 0 and f"has its cache in {objects / 'own.cache'}, 1 entry" in text
    assert str(one.pid) in text
    told = [found["text"] for found in findings if found["about"] == "directory"]
    assert any(text.startswith(f"{objects} can be used") for text in told)
    # Without the function it is another place, which is nobody's mistake.
    status, findings = said(run)
    told = [found["text"] for found in findings if found["about"] == "directory"]
    (text,) = (text for text in told if str(objects) in text)
    assert status == 0 and "these caches' own (directory=)" in text


def _open_to_others(path: Path) -> None:
    path.write_bytes(b"")
    path.chmod(0o644)


WAYS: dict[str, tuple[Callable[[Path], object], str]] = {
    "open to others": (_open_to_others, "its permissions are 0644"),
    "a folder": (Path.mkdir, "it is not a regular file"),
    "a link": (lambda path: path.symlink_to("/dev/null"), "symbolic link"),
    "another user's": (lambda path: (path.touch(0o600), os.chown(path, 61001, -1)), "another user"),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name, file", [("f", "f"), ("cube", "kept"), ("square", "own")])
def test_a_file_that_cannot_be_opened(
    run: Any, objects: Path, cache_dir: Path, name: str, file: str, way: str
) -> None:
    if way == "another user's" and os.geteuid() != 0:
        pytest.skip("only root can make files of others")
    make, reason = WAYS[way]
    folder = objects if file == "own" else cache_dir
    folder.mkdir(0o700)
    make(folder / f"{file}.cache")
    status, findings = said(run, f"objects_app:{name}")
    text = about(findings, "file")
    assert status == 1
    assert f"the cache of objects_app:{name} cannot be opened: " in text and reason in text
    assert ("WARP_CACHE_DIR does not change it" in text) is (file == "own")


@pytest.mark.parametrize("name", ["f", "cube", "square"])
def test_a_directory_that_cannot_be_used(
    run: Any, objects: Path, cache_dir: Path, name: str
) -> None:
    folder = objects if name == "square" else cache_dir
    folder.mkdir()
    folder.chmod(0o755)
    status, findings = said(run, f"objects_app:{name}")
    assert status == 1 and "its permissions are 0755" in about(findings, "rights")
    assert "its permissions are 0755" in about(findings, "file")


def test_names_that_a_file_cannot_be_called(run: Any, worker: Any) -> None:
    """Two of them may be one but for the hash; each is found by what its user calls it."""
    names = ["a b", "a/b", "a_b", "x" * 300, ".hidden"]
    one = worker(
        "from warp_cache import cache\n"
        f"made = [cache(lambda x: x, backend='shared', name=name) for name in {names!r}]"
    )
    one.ask("[[f(at) for at in range(i + 1)] for i, f in enumerate(made)]")
    paths = eval(one.ask("[f.cache_options()['path'] for f in made]"))
    for at, (name, path) in enumerate(zip(names, paths, strict=True)):
        status, out, errors = run("info", name)
        assert status == 0, (name, errors)
        assert path in out and f"entries            {at + 1} of" in out.replace(",", "")
    findings = said(run)[1]
    told = [one["text"] for one in findings if one["about"] == "sharing"]
    assert told and all("names that are spelled alike" in text for text in told)
