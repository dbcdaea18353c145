"""Checks the newest wheel in a folder: complete, requires nothing, works in an empty environment.

usage: python check_wheel.py FOLDER      run by the interpreter that the wheel is for
"""

import subprocess
import sys
import zipfile
from pathlib import Path

UV = Path(__file__).with_name("uv")
TRIAL = """
import os, subprocess, sys, sysconfig, tempfile
import warp_cache

@warp_cache.cache
def square(x):
    return x * x

assert (square(3), square(x=3)) == (9, 9)
assert tuple(square.cache_info())[:2] == (1, 1), square.cache_info()
if sysconfig.get_config_var("Py_GIL_DISABLED"):
    assert not sys._is_gil_enabled(), "importing the wheel switched the GIL on"
if sys.platform == "linux":
    with tempfile.TemporaryDirectory() as os.environ["WARP_CACHE_DIR"]:
        os.chmod(os.environ["WARP_CACHE_DIR"], 0o700)

        @warp_cache.cache(backend="shared", name="trial")
        def cube(x):
            return x ** 3

        assert (cube(3), cube(3), cube.cache_info().hits) == (27, 27, 1), cube.cache_info()
        command = [sys.executable, "-I", "-m", "warp_cache", "info", "trial"]
        told = subprocess.run(command, capture_output=True, text=True)
        assert "entries" in told.stdout, told
print("works from", warp_cache.__file__)
"""


def check_content(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        metadata = next(name for name in names if name.endswith(".dist-info/METADATA"))
        fields = archive.read(metadata).decode().splitlines()
    required = [
        line for line in fields if line.startswith("Requires-Dist") and "extra ==" not in line
    ]
    assert not required, f"{wheel.name} requires more than the platform: {required}"
    for wanted in ("warp_cache/__init__.py", "warp_cache/py.typed", ".pyi", "licenses/LICENSE"):
        assert any(name.endswith(wanted) for name in names), f"{wheel.name} lacks {wanted}"
    extensions = [name for name in names if name.endswith((".so", ".pyd"))]
    assert len(extensions) == 1, f"{wheel.name} must hold one extension module, not {extensions}"


def check_use(wheel: Path) -> None:
    run = [str(UV), "run", "--quiet", "--isolated", "--no-project", "--python", sys.executable]
    # Away from the checkout, whose own package would be found first.
    trial = [*run, "--with", str(wheel), "python", "-I", "-c", TRIAL]
    if subprocess.run(trial, cwd=wheel.parent).returncode != 0:
        sys.exit(f"{wheel.name} does not work in an empty environment")


def main() -> None:
    version = f"cp{sys.version_info[0]}{sys.version_info[1]}"
    wheels = Path(sys.argv[1]).resolve().glob(f"*-{version}-{version}{sys.abiflags}-*.whl")
    wheel = max(wheels, key=lambda path: path.stat().st_mtime)
    check_content(wheel)
    check_use(wheel)
    print(f"{wheel.name}: {wheel.stat().st_size / 1024:.0f} KiB, requires nothing")


if __name__ == "__main__":
    main()
