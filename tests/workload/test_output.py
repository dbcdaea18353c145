"""What the commands write: all of it, or a message of one line; and never over their own input."""

from __future__ import annotations

import errno
import os
import resource
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import support

from warp_cache.__main__ import main
from warp_cache._cli import output

KEYS = b"".join(b"%d\n" % (at * at % 97) for at in range(3000))
CALL = f"exec {sys.executable} -m warp_cache "
FULL = "No space left on device"


@pytest.fixture(autouse=True)
def keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "keys").write_bytes(KEYS)
    return tmp_path / "keys"


def shell(command: str) -> tuple[int, str, str]:
    """Status, output and errors of a command line."""
    done = subprocess.run(
        ["sh", "-c", CALL + command], capture_output=True, text=True, timeout=support.LIMIT
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize(
    "command, name",
    [
        ("advise keys", "warp_cache advise: standard output"),
        ("advise keys --json", "warp_cache advise: standard output"),
        ("advise keys --rich", "warp_cache advise: standard output"),
        ("--help", "warp_cache: standard output"),
        ("--version", "warp_cache: standard output"),
        ("advise --help", "warp_cache: standard output"),
        ("export keys /dev/full", "warp_cache export: /dev/full"),
        ("import keys /dev/full", "warp_cache import: /dev/full"),
        ("advise keys --plot /dev/full", "warp_cache advise: /dev/full"),
    ],
)
def test_a_full_disk(
    monkeypatch: pytest.MonkeyPatch, command: str, name: str, unbuffered: str
) -> None:
    if "--rich" in command:
        pytest.importorskip("rich")
    if "--plot" in command:
        pytest.importorskip("matplotlib")
    monkeypatch.setenv("PYTHONUNBUFFERED", unbuffered)
    status, _, errors = shell(f"{command} >/dev/full")
    assert (status, errors) == (2, f"{name}: {FULL}\n")


@pytest.mark.parametrize("options", ["", " --json", " --plain", " --rich"])
def test_closed_standard_output(options: str) -> None:
    status, _, errors = shell(f"advise keys{options} >&-")
    assert (status, errors) == (2, "warp_cache advise: standard output is closed\n")


def test_what_prints_nothing_needs_no_standard_output(tmp_path: Path) -> None:
    assert shell("import keys a.rec >&-") == (0, "", "")
    assert shell("export a.rec a.txt >&- <&-") == (0, "", "")
    assert len((tmp_path / "a.txt").read_text().splitlines()) == 3000


def test_closed_standard_input() -> None:
    status, _, errors = shell("advise - <&-")
    assert (status, errors) == (2, "warp_cache advise: standard input is closed\n")


@pytest.mark.parametrize("errors", ["2>&-", "2>/dev/full"])
def test_where_nothing_can_be_said_the_status_tells(errors: str) -> None:
    assert shell(f"advise nowhere {errors}")[:2] == (2, "")
    assert shell(f"advise keys {errors} >/dev/full")[:2] == (2, "")


@pytest.mark.parametrize("options", ["", "--json", "--rich"])
def test_a_reader_that_has_seen_enough(options: str) -> None:
    if options == "--rich":
        pytest.importorskip("rich")
    with subprocess.Popen(
        [sys.executable, "-m", "warp_cache", "advise", "keys", *options.split()],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(support.LIMIT) == 0


def test_a_pipe_is_written_as_it_is() -> None:
    done = subprocess.run(
        ["sh", "-c", f"({CALL} export keys /dev/stdout --format text) | head -n 2"],
        capture_output=True,
        text=True,
        timeout=support.LIMIT,
    )
    assert (done.stdout, done.stderr) == ("1\n2\n", "")


def test_what_is_appended_to_stays(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("before\n")
    place = os.stat("log").st_ino
    assert shell("export keys /dev/stdout --format text >>log")[0] == 0
    assert os.stat("log").st_ino == place


@pytest.mark.parametrize("options", [[], ["--rich"]])
def test_names_that_have_no_characters_there(options: list[str]) -> None:
    if options:
        pytest.importorskip("rich")
    name = b"\xff\xe6\x97\xa5.txt"
    Path(os.fsdecode(name)).write_bytes(KEYS)
    done = subprocess.run(
        [sys.executable, "-m", "warp_cache", "advise", name, *options],
        capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        timeout=support.LIMIT,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert rb"\udcff\u65e5.txt: 3,000 calls" in done.stdout


# --- files ---------------------------------------------------------------------------------


def link(name: str) -> str:
    Path(name).symlink_to("keys")
    return name


def hard(name: str) -> str:
    os.link("keys", name)
    return name


def chain(name: str) -> str:
    Path("between").symlink_to("keys")
    Path(name).symlink_to("between")
    return name


def folder(name: str) -> str:
    Path(name).symlink_to(".")
    return f"{name}/keys"


SPELLINGS: list[Any] = [
    pytest.param(lambda: "keys", id="same"),
    pytest.param(lambda: "./keys", id="dot"),
    pytest.param(lambda: os.path.abspath("keys"), id="absolute"),
    pytest.param(lambda: link("l.svg"), id="symlink"),
    pytest.param(lambda: chain("l.svg"), id="chain"),
    pytest.param(lambda: hard("l.svg"), id="hard-link"),
    pytest.param(lambda: folder("f"), id="folder"),
]


@pytest.mark.parametrize("spelled", SPELLINGS)
@pytest.mark.parametrize("command", ["export", "import", "advise"])
@pytest.mark.parametrize("swapped", [False, True])
def test_the_input_is_spared(
    capsys: pytest.CaptureFixture[str], command: str, spelled: Any, swapped: bool
) -> None:
    source, target = ("keys", spelled())[:: -1 if swapped else 1]
    arguments = [source, "--plot", target] if command == "advise" else [source, target]
    assert main([command, *arguments]) == 2
    if command == "advise":
        target = os.fspath(Path(target))
    assert capsys.readouterr() == (
        "",
        f"warp_cache {command}: {target}: this is the file to read; write to another one\n",
    )
    assert Path("keys").read_bytes() == KEYS


def test_a_further_picture_spares_it_too(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from warp_cache._cli import traces

    trace = traces.load("keys", None)
    two = traces.Trace("c-2", trace.workloads * 2, True)
    monkeypatch.setattr(traces, "load", lambda *_: two)
    os.rename("keys", "c-2")
    assert main(["advise", "c-2", "--plot", "c"]) == 2
    assert "c-2: this is the file to read" in capsys.readouterr().err
    assert Path("c-2").read_bytes() == KEYS


@pytest.mark.parametrize("command", ["export", "import"])
def test_standard_input_is_spared(command: str) -> None:
    status, _, errors = shell(f"{command} - keys <keys")
    assert status == 2 and "keys: this is the file to read" in errors
    assert Path("keys").read_bytes() == KEYS


@pytest.mark.parametrize("command", ["export", "import", "advise"])
def test_a_file_that_was_there_outlives_a_failure(command: str) -> None:
    if command == "advise":
        pytest.importorskip("matplotlib")
    Path("there.svg").write_bytes(b"before")
    # No file of this process may grow beyond so many bytes: the same as a disk that gets full.
    done = subprocess.run(
        [sys.executable, "-m", "warp_cache", command, "keys"]
        + (["--plot"] if command == "advise" else [])
        + ["there.svg"],
        capture_output=True,
        text=True,
        env={**os.environ, "MPLCONFIGDIR": os.fspath(Path("mpl").absolute())},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000)),
        timeout=support.LIMIT,
    )
    assert done.returncode == 2
    assert f"warp_cache {command}: there.svg: {os.strerror(errno.EFBIG)}\n" in done.stderr
    assert Path("there.svg").read_bytes() == b"before"
    assert {*os.listdir()} - {"mpl"} == {"keys", "there.svg"}


def parts(*, then: type[BaseException]) -> Any:
    yield b"half"
    raise then


@pytest.mark.parametrize("failure", [KeyboardInterrupt, MemoryError])
def test_half_a_file_is_none(tmp_path: Path, failure: type[BaseException]) -> None:
    for there in (False, True):
        if there:
            (tmp_path / "file").write_bytes(b"before")
        with pytest.raises(failure):
            output.write("file", parts(then=failure))
        assert (tmp_path / "file").exists() == there
        assert sorted(os.listdir()) == ["file", "keys"][not there :]
    assert (tmp_path / "file").read_bytes() == b"before"


def test_a_file_keeps_its_mode_and_a_new_one_has_the_usual(tmp_path: Path) -> None:
    def mode(name: str) -> int:
        return stat.S_IMODE((tmp_path / name).stat().st_mode)

    (tmp_path / "usual").touch()
    output.write("new", [b"1"])
    assert mode("new") == mode("usual")
    (tmp_path / "new").chmod(0o640)
    output.write("new", [b"2"])
    assert (mode("new"), (tmp_path / "new").read_bytes()) == (0o640, b"2")


def test_a_link_stays_one(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("elsewhere")
    for content in (b"1", b"2"):
        output.write("link", [content])
        assert (tmp_path / "link").is_symlink()
        assert (tmp_path / "elsewhere").read_bytes() == content


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anything")
def test_a_file_that_may_not_be_written_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "fixed").write_bytes(b"before")
    (tmp_path / "fixed").chmod(0o444)
    with pytest.raises(output.UserError, match="fixed: Permission denied"):
        output.write("fixed", [b"after"])


@pytest.mark.parametrize("target", ["", "no/", "keys/", "no/file", "."])
def test_what_is_no_place_for_a_file(target: str) -> None:
    with pytest.raises(output.UserError):
        output.write(target, [b"x"])
    assert os.listdir() == ["keys"]
