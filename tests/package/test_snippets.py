"""Blocks of the documents that are no Python: shell, YAML, Dockerfiles can be read."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.package.documents import DOCUMENTS, ROOT

INSTRUCTIONS = {
    *("ADD", "ARG", "CMD", "COPY", "ENTRYPOINT", "ENV", "EXPOSE", "FROM", "HEALTHCHECK"),
    *("LABEL", "RUN", "SHELL", "STOPSIGNAL", "USER", "VOLUME", "WORKDIR"),
}


class Block(NamedTuple):
    document: Path
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.document.name}:{self.line}"


def blocks(document: Path) -> list[Block]:
    text = document.read_text(encoding="utf-8")
    found = re.finditer(r"^```(\w*)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    return [Block(document, text.count("\n", 0, m.start()) + 1, m[1], m[2]) for m in found]


BLOCKS = [block for document in DOCUMENTS for block in blocks(document)]
PLACEHOLDERS = re.compile(r"[…<>]|\bTARGET\b")


def of(*languages: str) -> list[Block]:
    return [block for block in BLOCKS if block.language in languages]


def test_every_language_is_one_that_is_checked() -> None:
    known = {"", "text", "python", "bash", "sh", "yaml", "dockerfile"}
    assert {b.language for b in BLOCKS} <= known


# A block without a language that begins with a command is shell.
COMMAND = re.compile(r"(make|python|pip|uv|docker|cargo|git|curl|gunicorn|uvicorn|WARP_\w+=\S+) ")
SHELL = [*of("bash", "sh"), *(block for block in of("") if COMMAND.match(block.text))]


@pytest.mark.parametrize("block", SHELL, ids=str)
def test_shell(block: Block) -> None:
    command = ["bash", "-n", "-c", PLACEHOLDERS.sub("x", block.text)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("block", of("yaml"), ids=str)
def test_yaml(block: Block) -> None:
    yaml = pytest.importorskip("yaml", reason="make test-documents has it")
    assert isinstance(yaml.safe_load(block.text), (dict, list))


@pytest.mark.parametrize("block", of("dockerfile"), ids=str)
def test_dockerfile(block: Block) -> None:
    lines = re.sub(r"\\\n", " ", block.text).splitlines()
    lines = [line for line in lines if line.strip() and not line.startswith("#")]
    assert lines[0].split()[0] in ("ARG", "FROM")
    for line in lines:
        word, _, rest = line.partition(" ")
        assert word in INSTRUCTIONS and rest.strip(), line
        if word == "RUN":
            assert subprocess.run(["bash", "-n", "-c", rest]).returncode == 0, line
        if word in ("CMD", "ENTRYPOINT"):
            assert all(isinstance(part, str) for part in json.loads(rest)), line


def test_yaml_files_of_the_checkout_can_be_read() -> None:
    yaml = pytest.importorskip("yaml", reason="make test-documents has it")
    files = [*ROOT.glob(".*.yaml"), *ROOT.glob(".github/**/*.yml")]
    assert len(files) >= 2
    for path in files:
        assert yaml.safe_load(path.read_text(encoding="utf-8")), path
