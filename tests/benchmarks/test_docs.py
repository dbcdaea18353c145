"""What is written into documents: between the marks and nowhere else, and the same each time."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
import synthetic
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import __main__ as command
from benchmarks import docs, summary
from benchmarks import run as runs
from benchmarks.files import Run
from benchmarks.machine import section_key

EMPTY = f"# Title\n\nTyped.\n\n{docs.BEGIN}\n{docs.END}\n\nTyped too.\n"
OTHER = synthetic.usual(version="3.9.1")


@pytest.fixture
def document(tmp_path: Path) -> Path:
    pytest.importorskip("matplotlib", reason="what is written has pictures")
    path = tmp_path / "docs" / "performance.md"
    path.parent.mkdir()
    path.write_text(EMPTY, encoding="utf-8")
    return path


def everything(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def test_the_same_run_twice_is_the_same_bytes(document: Path) -> None:
    docs.write(document, synthetic.usual())
    once = everything(document.parent)
    docs.write(document, synthetic.usual())
    assert everything(document.parent) == once


def test_from_a_kept_file_all_is_made_again(document: Path, tmp_path: Path) -> None:
    docs.write(document, synthetic.usual())
    once = everything(document.parent)
    kept = tmp_path / "run.json"
    synthetic.usual().write(kept)
    document.write_text(EMPTY, encoding="utf-8")
    for path in (document.parent / "pictures").rglob("*.svg"):
        path.unlink()
    assert command.main(["--from", str(kept), "--docs", str(document)]) == 0
    assert everything(document.parent) == once


def test_what_is_typed_stays(document: Path) -> None:
    docs.write(document, synthetic.usual())
    text = document.read_text(encoding="utf-8")
    assert text.startswith(EMPTY[: EMPTY.index(docs.BEGIN)])
    assert text.endswith(EMPTY[EMPTY.index(docs.END) :])


@given(st.permutations([0, 1, 2, 0, 1]))
def test_the_order_of_writing_does_not_matter(order: list[int]) -> None:
    runs = [synthetic.usual(), OTHER, synthetic.usual(version="3.13.1", free_threaded=True)]
    text = EMPTY
    for number in order:
        run = runs[number]
        text = docs.with_section(text, section_key(run.machine), f"of {number}\n")
    # 3.9 comes before 3.11, and each is there once.
    assert re.findall(r"of \d", text) == ["of 1", "of 0", "of 2"]


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ("nothing", "must be there once"),
        (f"{docs.BEGIN}\n", "must be there once"),
        (f"{docs.BEGIN}\n{docs.END}\n{docs.END}\n", "must be there once"),
        (f"{docs.END}\n{docs.BEGIN}\n", "must come after"),
        (f"{docs.BEGIN}\ntyped here\n{docs.END}\n", "belongs to no section"),
    ],
)
def test_a_document_with_damaged_marks_is_left_alone(
    document: str, said: str, tmp_path: Path
) -> None:
    path = tmp_path / "performance.md"
    path.write_text(document, encoding="utf-8")
    with pytest.raises(docs.BadDocument, match=said) as caught:
        docs.write(path, synthetic.usual())
    assert str(path) in str(caught.value)
    assert everything(tmp_path) == {"performance.md": document.encode()}


def test_a_document_that_is_not_there_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = tmp_path / "run.json"
    synthetic.usual().write(kept)
    with pytest.raises(SystemExit) as ended:
        command.main(["--from", str(kept), "--docs", str(tmp_path / "none.md")])
    assert ended.value.code == 2
    assert "none.md cannot be read" in capsys.readouterr().err


def test_what_cannot_be_written_is_known_before_measuring(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def measure(*arguments: object) -> Run:
        raise AssertionError("it was measured all the same")

    monkeypatch.setattr(runs, "measure", measure)
    (tmp_path / "no-marks.md").write_text("", encoding="utf-8")
    for option, path in (
        ("--docs", "no-marks.md"),
        ("--readme", "no-marks.md"),
        ("--json", "nowhere/run.json"),
    ):
        with pytest.raises(SystemExit) as ended:
            command.main([option, str(tmp_path / path)])
        assert ended.value.code == 2
    said = capsys.readouterr().err
    assert said.count("must be there once") == 2
    assert "there is no folder" in said


def shown(run: Run) -> list[str]:
    return re.findall(r'(?:srcset|src)="([^"]+)"', docs.section(run))


def test_every_picture_is_there_in_light_and_dark(document: Path) -> None:
    run = synthetic.usual()
    docs.write(document, run)
    files = sorted(name for name in everything(document.parent) if name.endswith(".svg"))
    assert sorted(shown(run)) == files
    assert len(files) == 4  # hits by kind of key, and threads; misses have one row alone
    for name in files:
        ElementTree.fromstring((document.parent / name).read_text(encoding="utf-8"))
    assert len({(document.parent / name).read_bytes() for name in files}) == 4


def test_pictures_of_what_is_measured_no_more_are_removed(document: Path) -> None:
    docs.write(document, synthetic.usual())
    docs.write(document, OTHER)
    typed = document.parent / "pictures" / section_key(OTHER.machine) / "drawn-by-hand.svg"
    typed.write_text("<svg/>", encoding="utf-8")
    docs.write(document, synthetic.run(synthetic.threads(), version="3.9.1"))
    left = {path.name for path in typed.parent.iterdir()}
    assert left == {
        "drawn-by-hand.svg",
        "threads-throughput-light.svg",
        "threads-throughput-dark.svg",
    }
    assert len(list((document.parent / "pictures").rglob("hits-*"))) == 2  # the other section's


def test_a_bar_in_a_name_does_not_end_a_cell() -> None:
    assert r"1 str \| escaped" in docs.section(synthetic.usual())


def test_the_readme(tmp_path: Path) -> None:
    path = tmp_path / "README.md"
    path.write_text(f"Typed.\n{summary.BEGIN}\nold\n{summary.END}\nTyped too.\n", encoding="utf-8")
    for _ in range(2):
        summary.write(path, synthetic.usual())
        text = path.read_text(encoding="utf-8")
        assert text.startswith("Typed.\n") and text.endswith(f"{summary.END}\nTyped too.\n")
        assert text.count("hit, one int") == 1 and "old" not in text
    path.write_text("no marks", encoding="utf-8")
    with pytest.raises(docs.BadDocument, match="must be there once"):
        summary.write(path, synthetic.usual())
