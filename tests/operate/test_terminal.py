"""All commands on a terminal of 80 columns, on narrow ones, in pipes, in other encodings."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from typing import Any

import pytest
import support

COMMANDS = [
    ["ls"],
    ["info", "app.load"],
    ["keys", "app.load"],
    ["top", "--count", "1"],
    ["doctor"],
    ["prune", "--dry-run"],
    ["drop", "app.load", "5"],
    ["invalidate-tag", "none"],
]
ids = pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])


def shell(command: str, **environment: str) -> tuple[int, str, str]:
    done = subprocess.run(
        [
            "bash",
            "-c",
            f"set -o pipefail; {command.replace('WARP', sys.executable + ' -m warp_cache')}",
        ],
        capture_output=True,
        timeout=support.LIMIT,
        env={**os.environ, **environment},
    )
    return done.returncode, done.stdout.decode("utf-8", "replace"), done.stderr.decode()


def bare(text: str) -> str:
    """Without what colours it and moves the cursor."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)


@pytest.fixture
def busy(worker: Any) -> Any:
    one = worker()
    one.ask("[load('a long argument ' * 9 + str(i)) for i in range(30)]")
    one.ask("named(1)")
    return one


@pytest.mark.parametrize("columns", [80, 20])
@pytest.mark.parametrize("plain", [True, False], ids=["plain", "rich"])
@ids
def test_no_line_is_wider_than_the_terminal(
    busy: Any, terminal: Any, command: list[str], plain: bool, columns: int
) -> None:
    more = ["--plain"] if plain and command[0] in ("ls", "info", "top", "prune") else []
    # A process's name may be long, and the folder of a test's caches is.
    if not plain:
        pytest.importorskip("rich")
    shown = terminal(*command, *more, columns=columns)
    text = bare(shown.read_all())
    assert shown.process.returncode in (0, 1), text
    assert "Traceback" not in text
    # What other processes of the machine use is told, too; a path is not broken.
    lines = [line for line in text.splitlines() if "->" not in line and " " in line.strip()]
    if command[0] not in ("drop", "invalidate-tag", "prune"):
        widest = max(map(len, lines))
        assert widest <= max(columns, 20), text


LONG = "a_long_name_" * 9


@pytest.fixture
def long_named(worker: Any) -> Any:
    one = worker(f"from app import *\nlong = cache(name={LONG!r}, backend='shared')(str)")
    one.ask("[long(i) for i in (1, 2, 2, 2)]")
    return one


@pytest.mark.parametrize("plain", [True, False], ids=["plain", "rich"])
@pytest.mark.parametrize("command", [["ls"], ["top", "--count", "1"]], ids=lambda c: c[0])
def test_a_long_name_leaves_room_for_the_numbers(
    long_named: Any, terminal: Any, command: list[str], plain: bool
) -> None:
    if not plain:
        pytest.importorskip("rich")
    shown = terminal(*command, *(["--plain"] if plain else []))
    lines = bare(shown.read_all()).splitlines()
    header = next(line for line in lines if line.startswith("NAME"))
    named = next(line for line in lines if line.startswith("a_long"))
    words = named.split()
    assert words[0].endswith("long_name_") and ".." in words[0] and "50" in words, named
    assert header.split()[-1] == ("STATE" if command == ["ls"] else "PROCS"), header


@pytest.mark.parametrize("shape", ["--plain", "--rich"])
@pytest.mark.parametrize("columns", [80, 20])
def test_of_one_cache_all_is_to_be_read(
    long_named: Any, terminal: Any, cache_dir: Any, shape: str, columns: int
) -> None:
    if shape == "--rich":
        pytest.importorskip("rich")
    text = bare(terminal("info", LONG, shape, columns=columns).read_all())
    assert max(map(len, text.splitlines())) <= columns
    joined = "".join(text.split())
    assert f"fullname{LONG}" in joined and f"file{cache_dir}/{LONG}.cache" in joined
    assert "bytesofentries" in joined and "hits2" in joined


@pytest.mark.parametrize("shape", ["--plain", "--rich"])
def test_a_narrow_terminal_has_all_columns(long_named: Any, terminal: Any, shape: str) -> None:
    if shape == "--rich":
        pytest.importorskip("rich")
    lines = bare(terminal("ls", shape, columns=40).read_all()).splitlines()
    assert max(map(len, lines)) <= 40
    text = " ".join(" ".join(lines).split())
    assert "ENTRIES 2 BYTES" in text and "HITS 50 % PROCS 1 AGE" in text and "STATE in use" in text


@pytest.mark.parametrize("shape", ["--plain", "--rich"])
def test_top_says_what_a_narrow_terminal_lacks(long_named: Any, terminal: Any, shape: str) -> None:
    if shape == "--rich":
        pytest.importorskip("rich")
    shown = terminal("top", shape, "--count", "1", columns=40)
    lines = bare(shown.read_all()).splitlines()
    assert max(map(len, lines)) <= 40
    header = next(line for line in lines if line.startswith("NAME")).split()
    assert header == ["NAME", "CALLS/s", "HITS", "LOADS/s"]
    assert any("4 more columns need more room" in line for line in lines), lines


@pytest.mark.parametrize("shape", ["--plain", "--rich"])
def test_top_on_a_dumb_terminal(long_named: Any, terminal: Any, shape: str) -> None:
    if shape == "--rich":
        pytest.importorskip("rich")
    shown = terminal("top", shape, "--interval", "0.05", TERM="dumb")
    shown.read_until("a_long")
    assert shown.interrupt() == 0
    assert bare(shown.text).count("warp_cache top") >= 1 and "CALLS/s" in shown.text


@pytest.mark.parametrize("command", [["ls"], ["top", "--count", "1"], ["info", LONG]])
def test_with_colours_in_a_pipe_nothing_is_shortened(long_named: Any, command: list[str]) -> None:
    pytest.importorskip("rich")
    status, out, errors = shell(f"WARP {' '.join(command)} --rich | cat")
    assert (status, errors) == (0, "") and LONG in out
    assert ("50 %" if command[0] != "info" else "in use") in out


@ids
def test_in_a_pipe_nothing_is_shortened(busy: Any, command: list[str]) -> None:
    status, out, errors = shell(f"WARP {' '.join(command)} | cat")
    assert status in (0, 1) and errors == ""
    assert "\x1b" not in out and out.isascii() and out.endswith("\n")
    if command[0] in ("ls", "top"):
        assert "app.load" in out and "named" in out
    if command[0] == "keys":
        assert "a long argument " * 9 in out and len(out.splitlines()) == 30


@ids
def test_json_everywhere(busy: Any, command: list[str]) -> None:
    status, out, errors = shell(f"WARP {' '.join(command)} --json")
    assert status in (0, 1) and errors == ""
    assert isinstance(json.loads(out), dict)


@ids
def test_help_and_wrong_options(run: Any, command: list[str]) -> None:
    status, out, errors = run(command[0], "--help")
    assert (status, errors) == (0, "") and "--json" in out and "usage:" in out
    status, out, errors = run(*command, "--unknown")
    assert (status, out) == (2, "") and "--unknown" in errors


@pytest.mark.parametrize("shape", ["", "--json", "--rich"])
@pytest.mark.parametrize(
    "command", [["ls"], ["keys", "app.load"], ["top"], ["doctor"]], ids=lambda c: c[0]
)
def test_a_reader_who_has_seen_enough(busy: Any, command: list[str], shape: str) -> None:
    if shape == "--rich":
        pytest.importorskip("rich")
        if command[0] in ("keys", "doctor"):
            shape = ""
    more = "--interval 0.05" if command[0] == "top" else ""
    status, out, errors = shell(f"WARP {' '.join(command)} {shape} {more} | head -n 1")
    assert errors == "" and len(out.splitlines()) <= 1
    assert status in (0, 1, 141)


@ids
def test_standard_output_that_is_closed_or_full(busy: Any, command: list[str]) -> None:
    call = " ".join(command)
    status, _, errors = shell(f"WARP {call} >&-")
    assert (status, errors) == (2, f"warp_cache {command[0]}: standard output is closed\n")
    status, _, errors = shell(f"WARP {call} >/dev/full")
    assert status == 2 and errors.endswith("No space left on device\n")
    assert errors.count("\n") == 1


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
@ids
def test_other_encodings(worker: Any, command: list[str], encoding: str) -> None:
    worker().ask("(load('Grüße ✓ \\udc80'), load(b'\\xff'))")
    status, out, errors = shell(f"WARP {' '.join(command)}", PYTHONIOENCODING=encoding, LC_ALL="C")
    assert status in (0, 1) and "Traceback" not in errors
    if command[0] == "keys":
        assert "Gr" in out and "\\udc80" in out


def test_colours_and_their_absence(busy: Any, terminal: Any) -> None:
    pytest.importorskip("rich")
    assert "\x1b[" in terminal("ls").read_all()
    colours = re.compile(r"\x1b\[[0-9;]*3[0-9]m")
    assert colours.search(terminal("ls").read_all())
    assert not colours.search(terminal("ls", NO_COLOR="1").read_all())
    assert "\x1b" not in terminal("ls", "--plain").read_all()
    status, out, _ = shell("WARP ls --rich")
    assert status == 0 and "app.load" in out


def test_without_rich(busy: Any, terminal: Any, tmp_path: Any) -> None:
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    (hidden / "rich.py").write_text("raise ModuleNotFoundError('no', name='rich')")
    path = {"PYTHONPATH": str(hidden)}
    text = terminal("ls", **path).read_all()
    assert "app.load" in text and "\x1b" not in text
    status, _, errors = shell("WARP ls --rich", **path)
    assert status == 2 and "rich>=13" in errors
    shown = terminal("top", "--interval", "0.1", **path)
    shown.read_until("app.load")
    assert shown.interrupt() == 0


@pytest.mark.parametrize("plain", [True, False], ids=["plain", "rich"])
def test_top_shows_who_is_at_work_until_it_is_interrupted(
    busy: Any, terminal: Any, plain: bool
) -> None:
    if not plain:
        pytest.importorskip("rich")
    shown = terminal("top", "--interval", "0.1", *(["--plain"] if plain else []))
    shown.read_until("CALLS/s")
    # (The name of the busiest comes first.)
    shown.text = ""
    busy.ask("[named(i) for i in range(2000)] and None")
    shown.read_until("named")
    assert shown.interrupt() == 0
    assert "Traceback" not in shown.text


def test_top_counts_by_the_second(busy: Any) -> None:
    program = subprocess.Popen(
        [sys.executable, "-m", "warp_cache", "top", "--json", "--interval", "0.2"],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert program.stdout is not None
    try:
        program.stdout.readline()
        busy.ask("[named(1) for i in range(5000)] and None")
        calls = 0.0
        while not calls:
            document = json.loads(program.stdout.readline())
            (named,) = (one for one in document["caches"] if one["name"] == "named")
            calls = named["rates"]["hits"]
        assert document["caches"][0]["name"] == "named", "the busiest is the first"
        # None goes back when the cache is cleared.
        busy.ask("named.cache_clear()")
        for _ in range(2):
            document = json.loads(program.stdout.readline())
            assert all(rate >= 0 for one in document["caches"] for rate in one["rates"].values())
    finally:
        program.terminate()
        program.wait()
        program.stdout.close()


@pytest.mark.parametrize("interval", ["0", "x", "-1", "nan", "1e9"])
def test_wrong_intervals(run: Any, interval: str) -> None:
    status, out, errors = run("top", "--interval", interval)
    assert (status, out) == (2, "") and "seconds from 0.05 to 86400" in errors
    assert run("top", "--count", "0")[0] == 2
