"""Downloads source distributions of peers and unpacks their tests, into the build folder."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PINS = Path(__file__).with_name("sdists.txt")
UV = ROOT / "scripts" / "uv"
TARGET = Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target") / "peer-suites"

# What pip needs to read the metadata of a source distribution without making environments for it.
TOOLS = (
    *("pip==26.3", "setuptools==84.2.1", "setuptools-scm==10.3.4", "flit-core==4.2.0"),
    *("hatchling==1.33.0", "hatch-vcs==0.5.0", "maturin==1.16.0"),
)


def tests_of(package: str) -> Path | None:
    """The unpacked folder `tests`; None where no release is pinned for this interpreter."""
    _download()
    sdist = _sdist(package)
    return None if sdist is None else _unpacked(sdist)


def _sdist(package: str) -> Path | None:
    """The archive of the pinned version, if it is there."""
    stem = package.replace("-", "_").replace(".", "_").lower()
    known = False
    for line in PINS.read_text(encoding="utf-8").splitlines():
        name, _, version = line.split(" ")[0].partition("==")
        if name == package:
            known = True
            path = TARGET / f"{stem}-{version}.tar.gz"
            if path.is_file():
                return path
    if not known:
        raise ValueError(f"{PINS.name} has no {package}")
    return None


def _download() -> None:
    """All of them, once for each list, by pip, which compares the hashes."""
    fetched, pins = TARGET / PINS.name, PINS.read_bytes()
    if fetched.is_file() and fetched.read_bytes() == pins:
        return
    TARGET.mkdir(parents=True, exist_ok=True)
    command = [str(UV), "run", "--quiet", "--no-project", "--python", sys.executable]
    for tool in TOOLS:
        command += ["--with", tool]
    command += ["python", "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    command += ["--no-binary", ":all:", "--no-deps", "--no-build-isolation", "--require-hashes"]
    subprocess.run([*command, "--dest", str(TARGET), "--requirement", str(PINS)], check=True)
    fetched.write_bytes(pins)


def _unpacked(sdist: Path) -> Path:
    """Its tests alone, so that the package itself cannot be imported by them; once for each
    archive.
    """
    folder = TARGET / sdist.name.removesuffix(".tar.gz")
    if folder.is_dir():
        return folder / "tests"
    with tempfile.TemporaryDirectory(dir=TARGET) as work, tarfile.open(sdist) as archive:
        for member in archive.getmembers():
            parts = Path(member.name).parts
            if member.isfile() and parts[1:2] == ("tests",):
                source = archive.extractfile(member)
                assert source is not None
                path = Path(work).joinpath(*parts[1:])
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(source.read())
        shutil.copytree(work, folder)
    return folder / "tests"
