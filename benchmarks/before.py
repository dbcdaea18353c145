"""An earlier revision of this package, built apart from the checkout, to compare imports with.

usage: python -m benchmarks.before      builds it (minutes), once for each interpreter
"""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
from pathlib import Path

from benchmarks import ROOT

# The last one without control over single entries.
REVISION = "cefb417de3"
NAME = f"warp_cache before ({REVISION[:7]})"


def folder() -> Path:
    """Where it is imported from, once it has been built."""
    target = Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target")
    return target / "peers" / f"before-{REVISION}-{sysconfig.get_config_var('SOABI')}"


def build() -> None:
    """From the repository's history; with this environment's maturin."""
    if folder().is_dir():
        return
    archive = subprocess.run(
        ["git", "archive", REVISION], cwd=ROOT, capture_output=True, check=True
    ).stdout
    with tempfile.TemporaryDirectory(prefix="warp_cache-before-") as name:
        with tarfile.open(fileobj=io.BytesIO(archive)) as files:
            files.extractall(name)
        made = Path(name) / "made"
        command = [str(ROOT / "scripts" / "uv"), "pip", "install", "--quiet", "--no-deps"]
        command += ["--python", sys.executable, "--no-build-isolation", "--target", str(made), name]
        # Not into the folder of the checkout's build, whose artifacts these would drive out.
        environment = {**os.environ, "CARGO_TARGET_DIR": str(Path(name) / "target")}
        subprocess.run(command, env=environment, check=True)
        # As `make build` does for this one: not everywhere may Python write it at an import.
        subprocess.run([sys.executable, "-m", "compileall", "-q", str(made)], check=True)
        folder().parent.mkdir(parents=True, exist_ok=True)
        shutil.move(made, folder())


if __name__ == "__main__":
    build()
