"""Recordings go to other simulators' formats and come back with the same calls."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import pytest
import recordings
from hypothesis import given, settings
from hypothesis import strategies as st

import warp_cache
from warp_cache import cache
from warp_cache.__main__ import main
from warp_cache._cli import traces

REQUEST = struct.Struct("<IQIq")


def record(path: Path, keys: list[Any]) -> None:
    @cache
    def called(key: Any) -> Any:
        return key

    with warp_cache.record(str(path)):
        for key in keys:
            called(key)


def run(*arguments: Any) -> int:
    return main([str(argument) for argument in arguments])


@settings(deadline=None, max_examples=30)
@given(keys=st.lists(st.integers(0, 300), min_size=1, max_size=400))
@pytest.mark.parametrize("file", ["calls.txt", "calls.oracleGeneral", "calls.oracleGeneral.bin"])
def test_there_and_back(
    tmp_path_factory: pytest.TempPathFactory, keys: list[int], file: str
) -> None:
    folder = tmp_path_factory.mktemp("there")
    record(folder / "a.rec", keys)
    assert run("export", folder / "a.rec", folder / file) == 0
    assert run("import", folder / file, folder / "b.rec", "--name", "mine") == 0
    (before,), (after,) = recordings.read(folder / "a.rec"), recordings.read(folder / "b.rec")
    assert after.keys == before.keys == recordings.numbered(keys)
    assert (after.name, after.unique) == ("mine", len(set(keys)))
    # Its strategy is not known, so nothing is said of what the function has now.
    (workload,) = traces.load(str(folder / "b.rec"), None).workloads
    assert workload.strategy is None


def test_requests_are_libcachesims(tmp_path: Path) -> None:
    record(tmp_path / "a.rec", ["x", "y", "x", "z", "y", "x"])
    assert run("export", tmp_path / "a.rec", tmp_path / "a.oracleGeneral.bin") == 0
    data = (tmp_path / "a.oracleGeneral.bin").read_bytes()
    assert len(data) == 6 * 24
    # Time, object, size, and the number of the object's next request, of which the first is 1.
    assert list(REQUEST.iter_unpack(data)) == [
        (0, 1, 1, 3),
        (1, 2, 1, 5),
        (2, 1, 1, 6),
        (3, 3, 1, -1),
        (4, 2, 1, -1),
        (5, 1, 1, -1),
    ]
    assert data[:24].hex(" ", 4) == "00000000 01000000 00000000 01000000 03000000 00000000"
    assert run("export", tmp_path / "a.rec", tmp_path / "a.txt") == 0
    assert (tmp_path / "a.txt").read_text() == "1\n2\n1\n3\n2\n1\n"


def test_objects_of_others_have_any_number_size_and_time(tmp_path: Path) -> None:
    keys = [1 << 63, 0, (1 << 64) - 1, 0]
    requests = [(7, key, 1 << 20, (1 << 63) - 1) for key in keys]
    theirs = tmp_path / "theirs.oracleGeneral"
    theirs.write_bytes(b"".join(REQUEST.pack(*request) for request in requests))
    assert run("import", theirs, tmp_path / "ours.rec") == 0
    (ours,) = recordings.read(tmp_path / "ours.rec")
    assert (ours.name, ours.keys) == ("theirs.oracleGeneral", [0, 1, 2, 1])
    (read,) = traces.load(str(theirs), None).workloads
    assert read.keys.tolist() == [0, 1, 2, 1], "advise reads it as it is, too"


def test_text_has_any_keys(tmp_path: Path) -> None:
    (tmp_path / "keys").write_bytes(b"GET /a\nGET /b\r\n\nGET /a\n\xff\n")
    assert run("import", tmp_path / "keys", tmp_path / "ours.rec") == 0
    (ours,) = recordings.read(tmp_path / "ours.rec")
    assert ours.keys == [0, 1, 0, 2]


def test_many_calls_are_several_blocks(tmp_path: Path) -> None:
    keys = [at * at % 70_001 for at in range(200_000)]
    (tmp_path / "keys.txt").write_text("".join(f"{key}\n" for key in keys))
    assert run("import", tmp_path / "keys.txt", tmp_path / "a.rec") == 0
    assert run("export", tmp_path / "a.rec", tmp_path / "b", "--format", "oracleGeneral") == 0
    assert (
        run(
            "import", tmp_path / "b", tmp_path / "b.rec", "--format", "oracleGeneral", "--name", "f"
        )
        == 0
    )
    assert recordings.read(tmp_path / "b.rec")[0].keys == recordings.numbered(keys)


def test_one_function_of_several(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def called(name: str) -> Any:
        def function(key: int) -> int:
            return key

        function.__qualname__ = name
        return cache(function)

    few, many = called("few"), called("many")
    path, target = tmp_path / "a.rec", tmp_path / "a.txt"
    with warp_cache.record(str(path)):
        for key in (1, 2, 1):
            many(key)
        few(5)
    assert run("export", path, target) == 2
    named = "choose one by --function: test_exchange.many, test_exchange.few"
    assert f"2 functions in it; {named}" in capsys.readouterr().err
    assert run("export", path, target, "--function", "nobody") == 2
    assert f"no function 'nobody' in it; {named}" in capsys.readouterr().err
    assert not target.exists()
    assert run("export", path, target, "--function", "test_exchange.many") == 0
    assert target.read_text() == "1\n2\n1\n"


@pytest.mark.parametrize(
    "command, content, target, message",
    [
        ("import", b"x" * 25, "b.rec", "25 bytes are no multiple of 24"),
        ("import", b"", "b.rec", "there are no keys in it"),
        ("import", None, "b.rec", "No such file or directory"),
        ("import", b"x" * 24, "no/folder/b.rec", "No such file or directory"),
        ("export", b"x" * 24, ".", "Is a directory"),
    ],
)
def test_what_cannot_be_read_or_written(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    command: str,
    content: bytes | None,
    target: str,
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    if content is not None:
        Path("a.oracleGeneral").write_bytes(content)
    assert run(command, "a.oracleGeneral", target) == 2
    said = capsys.readouterr().err
    assert message in said and "Traceback" not in said
    assert not Path("b.rec").exists()
