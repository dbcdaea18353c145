"""`doctor` says in words why workers do not share, and why calls are not stored."""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path
from typing import Any

import pytest
import support

from tests.operate.older import make_older
from warp_cache._cli import diagnosis
from warp_cache._info import SkipReason

SANDBOXED = os.geteuid() == 0 and sys.platform == "linux"


@pytest.fixture(autouse=True)
def only_this_test(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other processes of this user may be anybody's."""
    real = diagnosis.processes.of_this_user

    def of_this_user() -> dict[int, set[str]]:
        found = real()
        mine = Path("/proc/self/task").glob("*/children")
        children = {int(pid) for listed in mine for pid in listed.read_text().split()}
        return {pid: paths for pid, paths in found.items() if pid in children}

    monkeypatch.setattr(diagnosis.processes, "of_this_user", of_this_user)


def said(run: Any, *arguments: str) -> tuple[int, list[dict[str, Any]]]:
    """Status and findings, each of which is also a text of words."""
    status, out, errors = run("doctor", "--json", *arguments)
    assert errors == "", errors
    document = json.loads(out)
    assert document["healthy"] is (status == 0)
    plain_status, text, _ = run("doctor", *arguments)
    assert plain_status == status
    for finding in document["findings"]:
        assert finding["level"] in ("ok", "note", "problem")
        assert finding["about"] in text
    return status, document["findings"]


def about(findings: list[dict[str, Any]], what: str, level: str = "problem") -> str:
    """The one finding about something, with its remedy."""
    found = [one for one in findings if (one["about"], one["level"]) == (what, level)]
    assert len(found) == 1, findings
    return f"{found[0]['text']} -> {found[0]['remedy']}"


def test_nothing_is_wrong(run: Any, worker: Any, cache_dir: Path) -> None:
    one = worker()
    one.ask("(load(1), load(1))")
    status, findings = said(run)
    assert status == 0
    assert f"{cache_dir} can be used" in about(findings, "directory", "ok")
    text = run("doctor")[1]
    assert text.endswith("Nothing is wrong, in 1 cache.\n")
    environment = json.loads(run("doctor", "--json")[1])["environment"]
    assert environment["executable"] == sys.executable and environment["warp_cache"]
    assert environment["directories"] == [str(cache_dir)]


def test_a_directory_that_is_not_there(
    run: Any, cache_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    status, findings = said(run)
    assert status == 0 and "the first shared cache makes it" in about(findings, "directory", "note")
    (cache_dir.parent / "file").write_text("")
    monkeypatch.setenv("WARP_CACHE_DIR", str(cache_dir.parent / "file" / "caches"))
    status, findings = said(run)
    assert status == 1 and "cannot be made" in about(findings, "directory")


def test_a_directory_that_is_not_there_and_would_be_of_no_use(
    run: Any, cache_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_locks(directory: str) -> int:
        raise OSError(f"cannot lock a byte in {directory}: Function not implemented")

    monkeypatch.setattr(diagnosis, "_try_out", no_locks)
    status, findings = said(run)
    assert status == 1
    assert f"cannot lock a byte in {cache_dir}: " in about(findings, "locks")
    assert not list(cache_dir.parent.glob(".warp_cache*")), "what was tried is gone"


@pytest.mark.skipif(not SANDBOXED, reason="whom no rights keep from trying")
def test_a_directory_that_cannot_be_made_whatever_the_rights_say(
    run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WARP_CACHE_DIR", "/proc/caches")
    status, findings = said(run)
    assert status == 1 and "/proc/caches cannot be used" in about(findings, "directory")


def test_a_relative_directory(
    run: Any, app: Path, cache_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache_dir.mkdir(mode=0o700)
    monkeypatch.setenv("WARP_CACHE_DIR", os.path.relpath(cache_dir))
    status, findings = said(run)
    assert status == 0 and "absolute path" in about(findings, "directory", "note")


@pytest.mark.parametrize("mode, message", [(0o755, "0755"), (0o777, "0777")])
def test_wrong_rights_of_the_directory(run: Any, cache_dir: Path, mode: int, message: str) -> None:
    cache_dir.mkdir()
    cache_dir.chmod(mode)
    status, findings = said(run)
    assert status == 1 and f"its permissions are {message}" in about(findings, "rights")
    assert "chmod go= it" in about(findings, "rights")


def test_wrong_rights_of_a_file(run: Any, worker: Any, cache_dir: Path) -> None:
    worker().ask("named(1)")
    (cache_dir / "named.cache").chmod(0o644)
    status, findings = said(run)
    assert status == 1 and "its permissions are 0644" in about(findings, "rights")


def test_a_directory_that_is_a_link_or_a_file(run: Any, cache_dir: Path, tmp_path: Path) -> None:
    cache_dir.symlink_to(tmp_path)
    assert "it is a symbolic link" in about(said(run)[1], "rights")
    cache_dir.unlink()
    cache_dir.write_text("")
    assert "it is not a directory" in about(said(run)[1], "rights")


def test_different_directories(run: Any, worker: Any, tmp_path: Path, cache_dir: Path) -> None:
    one = worker(WARP_CACHE_DIR=str(tmp_path / "elsewhere"))
    one.ask("named(1)")
    status, findings = said(run)
    texts = [one["text"] for one in findings if one["about"] == "directory"]
    (text,) = (text for text in texts if str(tmp_path / "elsewhere") in text)
    assert f"process {one.pid} " in text and "shares nothing" in text


def test_different_namespaces(run: Any, worker: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    worker().ask("load(1)")
    worker(WARP_CACHE_NAMESPACE="staging").ask("load(1)")
    status, findings = said(run)
    assert status == 1
    text = about(findings, "sharing")
    assert "namespace or version differs" in text and "WARP_CACHE_NAMESPACE=staging" in text
    monkeypatch.setenv("WARP_CACHE_NAMESPACE", "mine")
    assert "'mine'" in about(said(run)[1], "namespace", "note")


def test_what_is_said_is_all_that_parts_them(run: Any, app: Path, worker: Any) -> None:
    """Of three caches of one name each is compared with the one that is most like it."""
    for place in ("staging", None):
        worker(**({"WARP_CACHE_NAMESPACE": place} if place else {})).ask("load(1)")
    source = (app / "app.py").read_text()
    (app / "app.py").write_text(source.replace('"x": x,', '"x": -x,'))
    worker(WARP_CACHE_NAMESPACE="staging").ask("load(1)")
    worker().ask("load(1)")
    texts = [one["text"] for one in said(run)[1] if one["about"] == "sharing"]
    assert len(texts) == 3
    assert sum("namespace or version differs" in text for text in texts) == 2
    assert sum("the function's code differs" in text for text in texts) == 1


def test_code_in_another_place(run: Any, app: Path, worker: Any) -> None:
    worker().ask("load(1)")
    (app / "app.py").write_text("\n" + (app / "app.py").read_text())
    worker().ask("load(1)")
    assert "the file and line that it stands in" in about(said(run)[1], "sharing")


def test_different_parameters(run: Any, app: Path, worker: Any) -> None:
    worker().ask("(load(1), named(1))")
    source = (app / "app.py").read_text()
    (app / "app.py").write_text(source.replace("max_size=50", "max_size=60"))
    worker().ask("named(1)")
    text = about(said(run)[1], "sharing")
    assert "max_size is 50 and 60" in text or "max_size is 60 and 50" in text
    status, findings = said(run, "app:named")
    assert "their parameters differ" in " ".join(one["text"] for one in findings)


def test_parameters_that_only_a_hash_has(run: Any, app: Path, worker: Any) -> None:
    worker().ask("named(1)")
    source = (app / "app.py").read_text()
    (app / "app.py").write_text(source.replace("max_size=50", "max_size=50, typed=True"))
    worker().ask("named(1)")
    assert "ttl, typed, key" in about(said(run)[1], "sharing")


def test_edited_code(run: Any, app: Path, worker: Any) -> None:
    worker().ask("load(1)")
    source = (app / "app.py").read_text()
    (app / "app.py").write_text(source.replace('"x": x,', '"x": -x,'))
    worker().ask("load(1)")
    assert "the function's code differs" in about(said(run)[1], "sharing")


def test_another_python(run: Any, app: Path, worker: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    one = worker()
    one.ask("load(1)")
    source = (app / "app.py").read_text()
    (app / "app.py").write_text(source.replace('"x": x,', '"x": -x,'))
    two = worker()
    two.ask("load(1)")
    # The same two, as if the second ran another interpreter: that is what its program's file says.
    real = diagnosis.processes.process

    def process(pid: int) -> Any:
        found = real(pid)
        if found is None or pid != two.pid:
            return found
        return type(found)(found.pid, found.command, "/opt/python3.99", found.environment)

    monkeypatch.setattr(diagnosis.processes, "process", process)
    text = about(said(run)[1], "sharing")
    assert "different Pythons" in text and "/opt/python3.99" in text


PRIVATE = """
from warp_cache import cache

def make():
    seen = []
    @cache(backend="shared")
    def counted(x):
        seen.append(x)
        return len(seen)
    return counted

counted = make()

@cache
def memory(x):
    return x

class Kind:
    @cache(backend="shared", ignore=("self",))
    def method(self, x):
        return x

def plain(x):
    return x
"""


def test_a_private_identity(run: Any, app: Path) -> None:
    (app / "private_app.py").write_text(PRIVATE)
    status, findings = said(run, "private_app:counted")
    text = about(findings, "private")
    assert status == 1 and "private to each process" in text and "name=" in text
    status, findings = said(run, "private_app:memory")
    assert status == 0 and 'backend="shared"' in about(findings, "backend", "note")
    status, findings = said(run, "private_app:Kind.method")
    assert status == 0 and "private_app.Kind.method" in about(findings, "file", "ok")


def test_a_function_that_is_shared(run: Any, worker: Any) -> None:
    one = worker()
    one.ask("load(1)")
    status, findings = said(run, "app:load")
    text = about(findings, "file", "ok")
    assert status == 0 and str(one.pid) in text and "1 entry" in text


BOX = """
from warp_cache import Cache
box = Cache(name="box", backend="shared", max_size=50)
plain = Cache(max_size=50)

@box.memoize()
def square(x):
    return x * x
"""


def test_a_cache_object(run: Any, app: Path, worker: Any) -> None:
    (app / "box_app.py").write_text(BOX)
    one = worker("from box_app import *")
    one.ask("(box.set('a', 1), square(3), square(3))")
    status, findings = said(run, "box_app:box")
    text = about(findings, "file", "ok")
    assert status == 0 and str(one.pid) in text and "2 entries" in text
    assert said(run, "box_app:plain")[0] == 0
    (app / "box_app.py").write_text(BOX.replace("max_size=50", "max_size=60"))
    worker("from box_app import *").ask("box.set('a', 1)")
    status, findings = said(run)
    assert status == 1 and "max_size is " in about(findings, "sharing")


@pytest.mark.parametrize(
    "name, message",
    [
        ("app", "write module:function"),
        (":load", "write module:function"),
        ("app:", "write module:function"),
        ("no_such_module:f", "cannot import no_such_module: ModuleNotFoundError"),
        ("app:nothing", "app has no nothing"),
        ("os:getcwd", "is no function with a cache"),
        ("broken_app:f", "cannot import broken_app: ZeroDivisionError"),
    ],
)
def test_functions_that_cannot_be_looked_at(run: Any, app: Path, name: str, message: str) -> None:
    (app / "broken_app.py").write_text("1 / 0")
    status, out, errors = run("doctor", name)
    assert (status, out) == (2, "") and message in errors and errors.count("\n") == 1


def test_every_reason_for_not_storing_has_words(run: Any, worker: Any) -> None:
    from typing import get_args

    assert set(diagnosis.SKIPS) == set(get_args(SkipReason))
    worker().ask("[named(x) if 0 else load(x) for x in (object(), object())] and None")
    status, findings = said(run)
    text = about(findings, "not stored")
    assert status == 1
    assert "app.load: 2 calls had an argument without bytes" in text


DOCTOR = "import sys\nfrom warp_cache.__main__ import main\nsys.exit(main(['doctor']))"


@pytest.mark.parametrize("value", ["1", "true"])
def test_switched_off(value: str) -> None:
    done = support.run_python(DOCTOR, environment={"WARP_CACHE_DISABLED": value})
    assert done.returncode == 1 and f"WARP_CACHE_DISABLED={value} is set" in done.stdout


def test_an_older_format_and_deaths(run: Any, worker: Any, cache_dir: Path) -> None:
    one = worker()
    one.ask("named(1)")
    one.close()
    make_older(cache_dir / "named.cache")
    assert "is of format 7" in about(said(run)[1], "format", "note")


FULL = """
import ctypes, os, sys, contextlib, io, json, errno
sys.path.insert(0, "tests")
libc = ctypes.CDLL(None, use_errno=True)
assert libc.unshare(0x00020000) == 0
assert libc.mount(b"none", b"/", None, 0x4000 | 1 << 18, None) == 0
os.makedirs("/tmp/small", exist_ok=True)
assert libc.mount(b"none", b"/tmp/small", b"tmpfs", 0, b"size=128k,mode=0700") == 0
os.environ["WARP_CACHE_DIR"] = "/tmp/small"
from warp_cache.__main__ import main
out = io.StringIO()
"""


@pytest.mark.skipif(not SANDBOXED, reason="needs a name space of mounts")
def test_no_space() -> None:
    source = FULL + (
        "with contextlib.redirect_stdout(out):\n    status = main(['doctor', '--json'])\n"
        "found = json.loads(out.getvalue())['findings']\n"
        "found = [one for one in found if one['about'] == 'space']\n"
        "print(status, len(found), found[0]['level'])"
    )
    done = support.run_python(source)
    if "AssertionError" in done.stderr:
        pytest.skip("this machine gives no name space of mounts")
    assert done.stdout == "1 1 problem\n", done.stderr


LOCKLESS = """
import os, sys
from warp_cache._cli import diagnosis
def refuse(directory):
    raise OSError(38, f"cannot lock a byte of {directory}: Function not implemented")
diagnosis._try_out = refuse
from warp_cache.__main__ import main
os.makedirs(os.environ["WARP_CACHE_DIR"], mode=0o700)
sys.exit(main(["doctor"]))
"""


def test_no_locks() -> None:
    done = support.run_python(LOCKLESS)
    assert done.returncode == 1
    assert "locks: " in done.stdout and "no byte-range locks" in " ".join(done.stdout.split())


@pytest.mark.skipif(not SANDBOXED, reason="only root can be other users")
def test_another_users_directory(run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WARP_CACHE_DIR")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    other = tmp_path / "warp_cache-61001"
    other.mkdir(0o700)
    os.chown(other, 61001, 61001)
    findings = said(run)[1]
    texts = [one["text"] for one in findings if one["about"] == "user"]
    assert any(re.search(r"user 61001 has caches of its own", text) for text in texts), findings
    # The directory of this very user's name is another's.
    monkeypatch.setenv("WARP_CACHE_DIR", str(other))
    status, findings = said(run)
    assert status == 1 and "it is another user's" in about(findings, "rights")
