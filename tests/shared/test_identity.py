"""The name of a shared cache: alike for one function in all processes, different for any two."""

from __future__ import annotations

import functools
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterable
from itertools import combinations
from pathlib import Path
from typing import Any

import identity_zoo as zoo
import pytest
from hypothesis import given
from hypothesis import strategies as st

import warp_cache
from warp_cache import cache
from warp_cache._naming.identity import describe, directories


def public(function: Callable[..., Any]) -> str:
    name, private = describe(function)
    assert not private, name
    return name


def run(*arguments: str, seed: int = 0, **options: Any) -> str:
    """What a Python of its own prints."""
    paths = [Path(warp_cache.__file__).parent.parent, Path(zoo.__file__).parent]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(map(str, paths)),
        "PYTHONHASHSEED": str(seed),
        "PYTHONDONTWRITEBYTECODE": "",
    }
    return subprocess.run(
        [sys.executable, *arguments],
        env=environment,
        text=True,
        check=True,
        timeout=60,
        stdout=subprocess.PIPE,
        **options,
    ).stdout


# --- the zoo

NAMES = """
import json, identity_zoo as zoo
from warp_cache._naming.identity import describe
print(json.dumps({kind: describe(f) for kind, f in zoo.DIFFERENT.items()}))
"""


def test_names_are_alike_in_all_processes_and_different_for_all_functions() -> None:
    here = {kind: public(function) for kind, function in zoo.DIFFERENT.items()}
    for seed in (1, 2):
        there = json.loads(run("-c", NAMES, seed=seed))
        assert {kind: name for kind, (name, _) in there.items()} == here
    for one, two in combinations(here, 2):
        assert here[one] != here[two], (one, two)


@pytest.mark.parametrize("functions", zoo.ALIKE)
def test_alike(functions: list[Callable[..., Any]]) -> None:
    # What is on different lines of a file is different; these are made by the same lines.
    assert len({public(function) for function in functions}) == 1


@pytest.mark.parametrize("kind", zoo.PRIVATE)
def test_private(kind: str) -> None:
    first, private = describe(zoo.PRIVATE[kind])
    second, also_private = describe(zoo.PRIVATE[kind])
    assert private and also_private
    assert first != second
    check_name(first)


def check_name(name: str) -> None:
    """The rule of crates/shared/src/file/directory.rs, under which a name is taken as it is."""
    assert re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,179}", name), name


def test_names_are_readable_and_usable() -> None:
    for function in zoo.DIFFERENT.values():
        check_name(public(function))
    head = "identity_zoo.made._locals_.inner-"
    assert re.fullmatch(re.escape(head) + "[0-9a-f]{32}", public(zoo.made(1)))
    assert describe(zoo.over([]))[0].startswith("identity_zoo.over._locals_._lambda_-private-")
    assert public(zoo.Base.of_class).startswith("identity_zoo.Base.of_class-")
    assert public(functools.partial(zoo.made)).startswith("identity_zoo.made-")
    assert public(cache(zoo.made)).startswith("identity_zoo.made-")


def test_a_function_may_call_itself_before_it_is_bound() -> None:
    assert zoo.under_construction(1) == zoo.under_construction(1)
    assert zoo.under_construction(1) != zoo.under_construction(2)
    assert not zoo.under_construction(1)[1]


def test_what_is_yet_to_be_bound() -> None:
    name, private = zoo.Base.UNDER_CONSTRUCTION
    assert name.startswith("identity_zoo.Base.with_super-") and not private
    assert f"({name!r}, False)" in run(
        "-c", "import identity_zoo as z; print(z.Base.UNDER_CONSTRUCTION)"
    )
    assert zoo.in_a_local_class()[1]
    assert zoo.before_what_it_calls()[1]


def test_a_class_made_anew_under_its_name() -> None:
    (one, one_private), (two, two_private) = zoo.DIFFERENT_BASES
    assert one != two
    assert not one_private and not two_private


def test_a_class_typed_in(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text("from warp_cache._naming.identity import describe\n")
    typed = "class A: pass\n\nprint(describe(A)[1])\n"
    assert (
        run("-i", str(tmp_path / "script.py"), input=typed, stderr=subprocess.DEVNULL) == "True\n"
    )


# --- values


def test_values_of_other_types() -> None:
    here = [public(zoo.over(value)) for value in zoo.VALUES_FOR_THE_CODEC]
    look = (
        "import identity_zoo as z; from warp_cache._naming.identity import describe\n"
        "print([describe(z.over(value))[0] for value in z.VALUES_FOR_THE_CODEC])"
    )
    assert run("-c", look, seed=1) == run("-c", look, seed=2) == f"{here}\n"
    for one, two in combinations(range(len(here)), 2):
        assert here[one] != here[two], zoo.VALUES_FOR_THE_CODEC[one : two + 1]


ATOMS = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary()
CONSTANTS = st.recursive(
    ATOMS, lambda inner: st.lists(inner).map(tuple) | st.lists(inner).map(frozenset)
)


@given(CONSTANTS, CONSTANTS)
def test_names_are_alike_exactly_for_what_is_alike_in_type_and_value(one: Any, two: Any) -> None:
    alike = public(zoo.over(one)) == public(zoo.over(two))
    assert alike == (canonical(one) == canonical(two))


def canonical(value: Any) -> Any:
    if isinstance(value, tuple):
        return ("tuple", *map(canonical, value))
    if isinstance(value, frozenset):
        return ("frozenset", frozenset(map(canonical, value)))
    return (type(value), repr(value))


# --- the main module

SPAWNED = """
import multiprocessing
from typing import NamedTuple
from warp_cache._naming.identity import describe

class Point(NamedTuple):
    x: int
    def norm(self): pass

def f(x): return x
def made(x): return lambda: (x, Point, f)

# In a file, what a function finds in its module does not count.
TABLE = []
def g(x): return TABLE

FUNCTIONS = [f, made(1), Point, Point.norm, g, made(Point(1))]
NAMES = [describe(function) for function in FUNCTIONS]

def names():
    return __name__, NAMES, [describe(function) for function in FUNCTIONS]

if __name__ == "__main__":
    assert not any(private for _, private in NAMES), NAMES
    for method in ("fork", "spawn", "forkserver"):
        with multiprocessing.get_context(method).Pool(1) as pool:
            module, early, late = pool.apply(names)
        assert (module == "__main__") == (method == "fork"), (method, module)
        assert early == late == NAMES, (method, early, late, NAMES)
    print(NAMES)
"""


def test_main_module_of_spawned_children(tmp_path: Path) -> None:
    (tmp_path / "one.py").write_text(SPAWNED)
    (tmp_path / "two.py").write_text(SPAWNED)
    (tmp_path / "link.py").symlink_to("one.py")
    absolute = run(str(tmp_path / "one.py"))
    assert run("one.py", cwd=tmp_path, seed=1) == absolute
    assert run(str(tmp_path / "link.py")) == absolute
    assert run("-m", "one", cwd=tmp_path) == absolute
    # Another script is another main module, though all is named alike in it.
    one, two = eval(absolute), eval(run(str(tmp_path / "two.py")))
    assert all(name.startswith("__main__.") for name, _ in one + two)
    assert not {name for name, _ in one} & {name for name, _ in two}


TYPED_IN = """
from warp_cache._naming.identity import describe
def square(x): return x * x

def helped(x): return help_me(x)

print(describe(square), describe(helped)[1])
def help_me(x): return {step}

print(describe(helped))
"""


@pytest.mark.parametrize("how", ["-c", "stdin", "-i"])
def test_code_in_no_file(how: str) -> None:
    def names(step: str) -> list[str]:
        source = TYPED_IN.format(step=step)
        if how == "-c":
            return run("-c", source).splitlines()
        options = ("-i", "-q") if how == "-i" else ("-",)
        return run(*options, input=source, stderr=subprocess.DEVNULL).splitlines()

    one, same, other = names("x + 1"), names("x + 1"), names("x + 2")
    assert one == same
    assert "False) True" in one[0], "a name that is not there yet"
    assert one[0] == other[0]
    assert one[1] != other[1], "what it calls is part of it where there is no file"
    assert one[1].endswith("False)")


# --- nothing that happens to running code counts


def busy(n: int) -> int:
    total = 0
    for i in range(n):
        total += i if i % 2 else len(str(i))
    return total


def test_specialised_and_traced_code_is_the_same_code() -> None:
    before = public(busy)
    busy(5000)
    assert public(busy) == before
    during: list[str] = []

    def trace(frame: Any, event: str, argument: Any) -> Any:
        return trace

    old = sys.gettrace()
    sys.settrace(trace)
    try:
        busy(100)
        during.append(public(busy))
    finally:
        sys.settrace(old)
    assert during == [before]


@pytest.mark.skipif(sys.version_info < (3, 12), reason="sys.monitoring is of 3.12")
def test_monitored_code_is_the_same_code() -> None:
    # The module does not exist for a checker that thinks of 3.10.
    monitoring: Any = vars(sys)["monitoring"]
    before, tool, events = public(busy), 4, monitoring.events
    monitoring.use_tool_id(tool, "test")
    try:
        for event in (events.LINE, events.INSTRUCTION, events.JUMP, events.CALL):
            monitoring.register_callback(tool, event, lambda *args: None)
        wanted = events.LINE | events.INSTRUCTION | events.JUMP | events.CALL
        monitoring.set_local_events(tool, busy.__code__, wanted)
        busy(100)
        assert public(busy) == before
    finally:
        monitoring.set_local_events(tool, busy.__code__, 0)
        monitoring.free_tool_id(tool)
    assert public(busy) == before


EDITED: Iterable[tuple[str, str]] = [
    ("return x + 1", "return x + 2"),
    ("return x + 1", "return x - 1"),
    ("return x + 1", "return y + 1"),
    ("x, y=1", "x, y=2"),
    ("x, y=1", "x, /, y=1"),
    ("x, y=1", "x, *, y=1"),
    ("def f", "async def f"),
]


@pytest.mark.parametrize("edit", EDITED)
def test_an_edited_function_is_another(tmp_path: Path, edit: tuple[str, str]) -> None:
    file = tmp_path / "edited_module.py"
    source = "def f(x, y=1):\n    'Text.'\n    return x + 1\n"
    look = (
        "import edited_module as m; from warp_cache._naming.identity import describe as d\n"
        "print(d(m.f))"
    )

    def name(text: str) -> str:
        file.write_text(text)
        return run("-B", "-c", look, cwd=tmp_path)

    before = name(source)
    assert before.startswith("('edited_module.f-") and before.endswith("False)\n")
    assert name(source.replace("Text", "Other text")) == before
    assert name(source + "\n\n# A comment\n") == before
    assert name(source.replace(*edit)) != before


def test_compiled_code_from_a_file_is_the_same_code(tmp_path: Path) -> None:
    (tmp_path / "compiled_module.py").write_text(
        "def f(x): return x in {'a', 'b', 'c'}, ((1, 2), (1, 2)), 'a b', 'a b'\n"
    )
    look = (
        "import sys, compiled_module as m\n"
        "from warp_cache._naming.identity import describe as d\n"
        "print(d(m.f), m.__cached__)"
    )
    first = run("-c", look, cwd=tmp_path)
    assert Path(first.split()[-1]).exists()
    assert run("-c", look, cwd=tmp_path, seed=3) == first


def test_one_module_name_in_two_folders(tmp_path: Path) -> None:
    names = set()
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "app.py").write_text("class A: pass\ndef f(x=A): return x\n")
        look = (
            "import app; from warp_cache._naming.identity import describe as d\n"
            "print(d(app.f), d(app.A))"
        )
        names.update(run("-c", look, cwd=tmp_path / folder).split())
    assert len(names - {"False)"}) == 4


# --- the directory


def test_naming_a_directory_makes_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WARP_CACHE_DIR", "mine")
    assert directories() == ([str(Path.cwd() / "mine")], True)
    monkeypatch.setenv("WARP_CACHE_DIR", "")
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    places, given = directories()
    assert places[0] == str(tmp_path / "tmp" / f"warp_cache-{os.geteuid()}") and not given
    assert not list(tmp_path.iterdir()), "it is the extension module that makes it"


def test_not_imported_with_the_package() -> None:
    look = (
        "import sys, warp_cache\n"
        "slow = {'hashlib', 'opcode', 'tempfile', 'warp_cache._naming'}\n"
        "print(sorted(slow & {*sys.modules}))"
    )
    assert run("-S", "-c", look) == "[]\n"


def test_a_life_imports_little(tmp_path: Path) -> None:
    # Of a program that starts again and again, starting is most of what it does.
    program = (
        "import os, sys\n"
        "from warp_cache import cache\n"
        "for function in (lambda x: x, [].append, len, os.fspath):\n"
        "    cached = cache(backend='shared')(function)\n"
        "    cached('x'), cached('x')\n"
        "heavy = {'_hashlib', 'asyncio', 'inspect', 'pickle', 're', 'tempfile', 'typing'}\n"
        "print(sorted(heavy & {*sys.modules}))"
    )
    assert run("-S", "-c", program) == "[]\n"
