"""What is written into documents: pages of measurements, the README's table, and nothing else."""

from __future__ import annotations

import re
import tempfile
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
import synthetic
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import __main__ as command
from benchmarks import docs, pictures, summary
from benchmarks import run as runs
from benchmarks.captions import CAPTIONS
from benchmarks.files import Run
from benchmarks.machine import section_key

ROOT = Path(__file__).resolve().parents[2]
OTHER = synthetic.usual(version="3.9.1")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    pytest.importorskip("matplotlib", reason="what is written has pictures")
    path = tmp_path / "measurements"
    path.mkdir()
    (path / "method.md").write_text("Typed.\n", encoding="utf-8")
    return path


def everything(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def test_the_same_run_twice_is_the_same_bytes(folder: Path) -> None:
    docs.write(folder, synthetic.usual())
    once = everything(folder)
    docs.write(folder, synthetic.usual())
    assert everything(folder) == once


def test_from_a_kept_file_all_is_made_again(folder: Path, tmp_path: Path) -> None:
    docs.write(folder, synthetic.usual())
    once = everything(folder)
    kept = tmp_path / "run.json"
    synthetic.usual().write(kept)
    for name in once:
        if name != "method.md":
            (folder / name).unlink()
    assert command.main(["--from", str(kept), "--docs", str(folder)]) == 0
    assert everything(folder) == once


def test_a_page_with_parts_that_an_update_has_not_stays(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    docs.write(folder, synthetic.usual())
    once = everything(folder)
    whole = synthetic.usual()
    kept = tmp_path / "run.json"
    replace(whole, results=whole.results[:1]).write(kept)
    assert command.main(["--from", str(kept), "--docs", str(folder), "--update"]) == 0
    assert everything(folder) == once
    assert whole.results[1].heading in capsys.readouterr().out
    # A whole run that has fewer parts replaces the page.
    assert command.main(["--from", str(kept), "--docs", str(folder)]) == 0
    assert everything(folder) != once


def test_what_is_typed_stays(folder: Path) -> None:
    docs.write(folder, synthetic.usual())
    assert (folder / "method.md").read_text(encoding="utf-8") == "Typed.\n"


@given(st.permutations([0, 1, 2, 0, 1]))
def test_the_order_of_writing_does_not_matter(order: list[int]) -> None:
    runs = [synthetic.usual(), OTHER, synthetic.usual(version="3.13.1", free_threaded=True)]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for number in order:
            (folder / f"{section_key(runs[number].machine)}.md").write_text(
                docs.page(runs[number]), encoding="utf-8"
            )
        listed = re.findall(r"^- \[CPython ([\d.]+),", docs.index(folder), re.MULTILINE)
    # 3.9 comes before 3.11, and each is there once.
    assert listed == ["3.9.1", "3.11.2", "3.13.1"]


def test_the_index_lists_what_is_generated(folder: Path) -> None:
    docs.write(folder, synthetic.usual())
    docs.write(folder, OTHER)
    index = (folder / docs.INDEX).read_text(encoding="utf-8")
    linked = re.findall(r"\]\((.+?)\)", index)
    pages = [f"{section_key(run.machine)}.md" for run in (synthetic.usual(), OTHER)]
    assert sorted(linked) == sorted([*pages, "method.md"])
    (folder / "method.md").unlink()
    assert "method.md" not in docs.index(folder)


def test_a_folder_that_is_not_there_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = tmp_path / "run.json"
    synthetic.usual().write(kept)
    with pytest.raises(SystemExit) as ended:
        command.main(["--from", str(kept), "--docs", str(tmp_path / "none")])
    assert ended.value.code == 2
    assert "none: there is no such folder" in capsys.readouterr().err
    assert everything(tmp_path).keys() == {"run.json"}


def test_what_cannot_be_written_is_known_before_measuring(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def measure(*arguments: object) -> Run:
        raise AssertionError("it was measured all the same")

    monkeypatch.setattr(runs, "measure", measure)
    (tmp_path / "no-marks.md").write_text("", encoding="utf-8")
    for option, path in (
        ("--docs", "no-folder"),
        ("--readme", "no-marks.md"),
        ("--json", "nowhere/run.json"),
    ):
        with pytest.raises(SystemExit) as ended:
            command.main([option, str(tmp_path / path)])
        assert ended.value.code == 2
    said = capsys.readouterr().err
    assert said.count("must be there once") == 1
    assert "there is no such folder" in said and "there is no folder" in said


def shown(run: Run) -> list[str]:
    return re.findall(r'(?:srcset|src)="([^"]+)"', docs.page(run))


def test_every_picture_is_there_in_light_and_dark(folder: Path) -> None:
    run = synthetic.usual()
    docs.write(folder, run)
    files = sorted(name for name in everything(folder) if name.endswith(".svg"))
    assert sorted(shown(run)) == files
    assert len(files) == 4  # hits by kind of key, and threads; misses have one row alone
    for name in files:
        ElementTree.fromstring((folder / name).read_text(encoding="utf-8"))
    assert len({(folder / name).read_bytes() for name in files}) == 4


def test_every_picture_has_a_sentence() -> None:
    after = re.findall(r"</picture>\n\n(.*)", docs.page(synthetic.usual()))
    assert after == ["Hits.", "Hits of several threads."]  # no caption is known: the title
    assert pictures.Picture("hits", "Hits", {}).caption == CAPTIONS["hits"]


def test_every_picture_of_the_project_has_a_caption_of_its_own() -> None:
    files = (ROOT / "docs" / "measurements").rglob("*-light.svg")
    names = {path.name.removesuffix("-light.svg") for path in files}
    assert names and names <= CAPTIONS.keys()


def test_pictures_of_what_is_measured_no_more_are_removed(folder: Path) -> None:
    docs.write(folder, synthetic.usual())
    docs.write(folder, OTHER)
    typed = folder / section_key(OTHER.machine) / "drawn-by-hand.svg"
    typed.write_text("<svg/>", encoding="utf-8")
    docs.write(folder, synthetic.run(synthetic.threads(), version="3.9.1"))
    left = {path.name for path in typed.parent.iterdir()}
    assert left == {
        "drawn-by-hand.svg",
        "threads-throughput-light.svg",
        "threads-throughput-dark.svg",
    }
    assert len(list(folder.rglob("hits-*"))) == 2  # the other page's


def test_goals_and_pictures_come_before_the_tables_which_are_folded() -> None:
    text = docs.page(synthetic.usual())
    assert text.index("## Goals") < text.index("<picture>") < text.index("## All numbers")
    outside = re.sub(r"<details>.*?</details>", "", text, flags=re.DOTALL)
    assert "| work | contender | unit |" in text
    assert "| work | contender | unit |" not in outside
    assert text.count("<details>") == text.count("</details>") == 4


def test_a_bar_in_a_name_does_not_end_a_cell() -> None:
    assert r"1 str \| escaped" in docs.page(synthetic.usual())


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
