"""Checks the source distribution in a folder: complete, and built with a Rust toolchain alone.

usage: python check_sdist.py FOLDER

It is unpacked nowhere near the checkout, built by pip's own way (PEP 517) in an environment that
has nothing in it, and used there.
"""

import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from check_wheel import TRIAL, UV

ROOT = Path(__file__).resolve().parents[1]
# What a build, and whoever reads the sources, cannot be without.
WANTED = ("Cargo.toml", "Cargo.lock", "pyproject.toml", "README.md", "LICENSE", "PKG-INFO")


def check_content(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    crates = {path.parent.name for path in ROOT.glob("crates/*/Cargo.toml")}
    wanted = {*WANTED, *(f"crates/{name}/Cargo.toml" for name in needed(crates))}
    assert wanted <= names, f"{sdist.name} lacks {sorted(wanted - names)}"


def needed(crates: set[str]) -> set[str]:
    """The crates that the extension is made of: those that depend on nothing of it are left out."""
    found, waiting = set[str](), ["python"]
    while waiting:
        crate = waiting.pop()
        if crate not in found:
            found.add(crate)
            manifest = (ROOT / "crates" / crate / "Cargo.toml").read_text(encoding="utf-8")
            waiting += [name for name in crates if f"\n{name}.workspace" in manifest]
    return found


def check_use(sdist: Path) -> None:
    # No settings of the one who runs this: neither his cargo folders nor his profile.
    inherited = (
        "CARGO_TARGET_DIR",
        "MATURIN_PEP517_ARGS",
        "PYO3_PYTHON",
        "RUSTFLAGS",
        "VIRTUAL_ENV",
    )
    environment = {name: value for name, value in os.environ.items() if name not in inherited}
    with tempfile.TemporaryDirectory(prefix="warp_cache_sdist_") as folder:
        venv = Path(folder, "venv")
        python = venv / "bin" / "python"
        for command in (
            ["venv", "--quiet", "--python", sys.executable, str(venv)],
            ["pip", "install", "--quiet", "--no-cache", "--python", str(python), str(sdist)],
        ):
            subprocess.run([str(UV), *command], cwd=folder, env=environment, check=True)
        subprocess.run([str(python), "-I", "-c", TRIAL], cwd=folder, env=environment, check=True)


def main() -> None:
    (sdist,) = Path(sys.argv[1]).resolve().glob("*.tar.gz")
    check_content(sdist)
    check_use(sdist)
    print(
        f"{sdist.name}: {sdist.stat().st_size / 1024:.0f} KiB, builds with a Rust toolchain alone"
    )


if __name__ == "__main__":
    main()
