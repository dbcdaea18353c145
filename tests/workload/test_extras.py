"""What needs an extra: it works with it, and without it says what to install."""

from __future__ import annotations

import re
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from warp_cache.__main__ import main

# More hits for some strategies than for others, and a name that is nothing but text.
KEYS = "".join(f"{at * at % 97 % (at % 50 + 1)}\n" for at in range(3000))
NAME = "a $b$ <&> \u65e5.txt"


@pytest.fixture
def trace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    (tmp_path / NAME).write_text(KEYS)
    return NAME


def without(monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    """As if it had never been installed."""
    for name in [n for n in sys.modules if n.partition(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    for ours in ("plot", "view"):
        monkeypatch.delitem(sys.modules, f"warp_cache._cli.{ours}", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Absent(package), *sys.meta_path])


class Absent:
    def __init__(self, package: str) -> None:
        self.package = package

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        if name.partition(".")[0] == self.package:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


@pytest.mark.parametrize(
    "package, option, extra",
    [("matplotlib", ["--plot", "curves.svg"], "plot"), ("rich", ["--rich"], "cli")],
)
def test_a_missing_extra_is_named(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    trace: str,
    package: str,
    option: list[str],
    extra: str,
) -> None:
    without(monkeypatch, package)
    assert main(["advise", trace, *option]) == 2
    out, errors = capsys.readouterr()
    assert out == "" and errors.count("\n") == 1
    # A name in the index that is somebody else's would bring that.
    (bound,) = of_the_project(extra)
    assert bound.startswith(package)
    assert f'needs {package}, which is not installed: pip install "{bound}"\n' in errors


def of_the_project(extra: str) -> list[str]:
    """What pyproject.toml says that the extra needs (tomllib is there from 3.11 on)."""
    text = (Path(__file__).parents[2] / "pyproject.toml").read_text()
    section = text.partition("[project.optional-dependencies]\n")[2].partition("\n[")[0]
    (line,) = [line for line in section.splitlines() if line.startswith(f"{extra} = ")]
    return re.findall(r'"([^"]+)"', line)


def test_plain_text_needs_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], trace: str
) -> None:
    without(monkeypatch, "rich")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    assert main(["advise", trace]) == 0
    assert "max_size     LRU " in capsys.readouterr().out


def test_a_table_with_colours_says_what_plain_text_says(
    capsys: pytest.CaptureFixture[str], trace: str
) -> None:
    pytest.importorskip("rich")
    assert main(["advise", trace, "--plain"]) == 0
    plain = capsys.readouterr().out
    assert main(["advise", trace, "--rich"]) == 0
    shown = capsys.readouterr().out

    def numbers(text: str) -> list[list[str]]:
        rows = [line.replace("\u2502", " ").split() for line in text.splitlines()]
        return [row for row in rows if len(row) == 9 and row[0].replace(",", "").isdecimal()]

    assert numbers(shown) == numbers(plain) and len(numbers(plain)) > 5
    assert " ".join(plain.split()[-8:]) in " ".join(shown.split())


@pytest.mark.parametrize(
    "file, begins", [("c.svg", b"<?xml"), ("c.png", b"\x89PNG"), ("c", b"<?xml")]
)
def test_a_picture(tmp_path: Path, trace: str, file: str, begins: bytes) -> None:
    pytest.importorskip("matplotlib")
    assert main(["advise", trace, "--plot", file]) == 0
    drawn = (tmp_path / file).read_bytes()
    assert drawn.startswith(begins)
    assert main(["advise", trace, "--plot", file]) == 0
    assert (tmp_path / file).read_bytes() == drawn
    if begins == b"<?xml":
        texts = " ".join(ET.fromstring(drawn).itertext())
        assert all(word in texts for word in ("LRU", "TINYLFU", "optimum", "a $b$ <&>", "max_size"))


@pytest.mark.parametrize(
    "file, message",
    [
        ("no/folder/x.svg", "No such file or directory"),
        ("x.bmp2", "Format 'bmp2' is not supported"),
    ],
)
def test_a_picture_that_cannot_be_written(
    capsys: pytest.CaptureFixture[str], trace: str, file: str, message: str
) -> None:
    pytest.importorskip("matplotlib")
    assert main(["advise", trace, "--plot", file]) == 2
    assert f"{file}: {message}" in capsys.readouterr().err
