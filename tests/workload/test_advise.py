"""`python -m warp_cache advise`: right numbers, sensible advice, clear errors."""

from __future__ import annotations

import io
import json
import os
import random
import signal
import subprocess
import sys
from array import array
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import support
from hypothesis import given, settings
from hypothesis import strategies as st

import warp_cache
from warp_cache import Strategy, cache
from warp_cache.__main__ import main
from warp_cache._cli import advice, curves, terminal, traces
from warp_cache._cli.traces import Workload
from warp_cache._warp_cache_rs import _replay

Run = Any


@pytest.fixture
def advise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Run:
    """Runs the command in a folder of its own: status, output, errors."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")

    def run(*arguments: str) -> tuple[int, str, str]:
        try:
            status = main(["advise", *arguments])
        except SystemExit as exit:
            assert isinstance(exit.code, int)
            status = exit.code
        out, errors = capsys.readouterr()
        return status, out, errors

    return run


def misses(keys: list[int], size: int, *, moves: bool) -> int:
    """LRU (`moves`) or FIFO, written down once more."""
    entries: OrderedDict[int, None] = OrderedDict()
    count = 0
    for key in keys:
        if key in entries:
            if moves:
                entries.move_to_end(key)
        else:
            count += 1
            if len(entries) == size:
                entries.popitem(last=False)
            entries[key] = None
    return count


def optimum(keys: list[int], size: int) -> int:
    """Belady's, by looking ahead each time."""
    entries: set[int] = set()
    count = 0
    for at, key in enumerate(keys):
        if key in entries:
            continue
        count += 1
        entries.add(key)
        if len(entries) > size:
            rest = keys[at + 1 :]
            entries.remove(max(entries, key=lambda k: rest.index(k) if k in rest else len(keys)))
    return count


def workload(keys: list[int], **known: Any) -> Workload:
    numbers: dict[int, int] = {}
    stream = array("I", [numbers.setdefault(key, len(numbers)) for key in keys])
    return Workload("w", stream, len(numbers), **known)


streams = st.lists(st.integers(0, 25), min_size=1, max_size=300)


@settings(deadline=None)
@given(keys=streams, size=st.integers(1, 30))
def test_a_replay_has_the_misses_of_the_textbook(keys: list[int], size: int) -> None:
    stream = workload(keys).keys
    jobs = [(int(Strategy.LRU), size), (int(Strategy.FIFO), size), (None, size)]
    assert _replay(stream, jobs) == [
        misses(keys, size, moves=True),
        misses(keys, size, moves=False),
        optimum(keys, size),
    ]


@settings(deadline=None, max_examples=50)
@given(keys=streams)
def test_curves_and_advice_hold_together(keys: list[int]) -> None:
    measured = curves.measure(workload(keys))
    for ratios in measured.ratios.values():
        assert all(r <= best + 1e-9 for r, best in zip(ratios, measured.optimum, strict=True))
    assert measured.sizes[-1] == len(set(keys))
    most = 1 - len(set(keys)) / len(keys)
    assert measured.optimum[-1] == pytest.approx(most)
    advised = advice.advise(measured)
    if advised.strategy is not None and advised.size is not None:
        assert advised.ratio == measured.at(advised.strategy, [advised.size])[0]
        assert advised.ratio >= 0.9 * most - 1e-9
    else:
        assert most < 0.005
    terminal.report(measured, advised)


@pytest.mark.parametrize(
    "keys, jobs, error",
    [
        ([0, 1], [(99, 1)], ValueError),
        ([0, 7], [(0, 1)], ValueError),
        ([0, 1], [(0, -1)], OverflowError),
    ],
)
def test_what_cannot_be_replayed(keys: list[int], jobs: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        _replay(array("I", keys), jobs)


def test_a_loop_a_little_larger_than_the_cache_wants_another_strategy() -> None:
    """With LRU and FIFO a loop has no hits at all until it fits."""
    measured = curves.measure(workload(list(range(100)) * 50), [50, 80, 95])
    assert measured.ratios[Strategy.LRU] == measured.ratios[Strategy.FIFO] == [0, 0, 0]
    assert measured.ratios[Strategy.MRU][-1] > 0.9
    advised = advice.advise(measured, only_these=True)
    assert advised.strategy not in (Strategy.LRU, Strategy.FIFO) and advised.size in (80, 95)
    assert "where LRU has 0 % with this size" in advised.sentence


def test_a_size_is_compared_with_that_of_lru() -> None:
    chance = random.Random(7)
    keys: list[int] = []
    for at in range(60_000):
        # Popular keys, and one after the other that never comes back.
        keys.append(int(chance.paretovariate(0.6)) if at % 3 else 10**9 + at)
    keys = [min(key, 10**9) if key < 10**9 else key for key in keys]
    advised = advice.advise(curves.measure(workload(keys)))
    assert advised.strategy not in (None, Strategy.LRU) and advised.size is not None
    number = int(advised.sentence.partition("as many as LRU with ")[2].partition(";")[0])
    assert number > advised.size
    stream = workload(keys).keys
    (missed,) = _replay(stream, [(int(Strategy.LRU), number)])
    assert 1 - missed / len(stream) >= advised.ratio


def test_lru_is_kept_where_it_does_not_matter() -> None:
    keys = [at % 10 for at in range(1000)]
    advised = advice.advise(curves.measure(workload(keys)))
    assert advised.strategy is Strategy.LRU and advised.size == 10
    assert "keep LRU" in advised.sentence


@settings(deadline=None, max_examples=support.examples(60))
@given(
    keys=streams,
    strategy=st.sampled_from(list(Strategy)),
    size=st.one_of(st.none(), st.integers(0, 40)),
    sizes=st.one_of(st.none(), st.lists(st.integers(1, 30), min_size=1, max_size=4)),
)
def test_nothing_is_advised_that_has_fewer_hits_than_the_recording(
    keys: list[int], strategy: Strategy, size: int | None, sizes: list[int] | None
) -> None:
    measured = curves.measure(workload(keys, strategy=strategy, max_size=size), sizes)
    limit = len(set(keys)) if size is None else size
    now = measured.at(strategy, [limit])[0] if limit else 0.0
    advised = advice.advise(measured, only_these=sizes is not None)
    if advised.strategy is None:
        return
    assert advised.ratio >= now
    again = len(set(keys)) if advised.size is None else advised.size
    assert advised.ratio == (measured.at(advised.strategy, [again])[0] if again else 0.0)
    assert "no fewer than now" in advised.goal and advised.goal in " ".join(
        terminal.report(measured, advised).split()
    )


def test_a_cache_with_many_hits_is_not_told_to_shrink() -> None:
    """A hundred entries that have 96 % were once told that sixteen, with 88 %, were enough."""
    chance = random.Random(5)
    keys = [min(int(chance.expovariate(0.11)), 99) for _ in range(20_000)]
    measured = curves.measure(workload(keys, strategy=Strategy.LRU, max_size=30))
    now = measured.at(Strategy.LRU, [30])[0]
    before = advice.advise(curves.measure(workload(keys)))
    assert before.size is not None and before.size < 30 and before.ratio < now
    advised = advice.advise(measured)
    assert advised.ratio >= now
    assert advised.goal.endswith("and with no fewer than now")
    # One that has no hits at all may be told anything.
    none = advice.advise(curves.measure(workload(keys, strategy=Strategy.LRU, max_size=0)))
    assert (none.size, none.ratio) == (before.size, before.ratio)


def test_what_is_as_good_as_it_can_be_is_kept() -> None:
    keys = [at % 10 for at in range(1000)]
    kept = advice.advise(curves.measure(workload(keys, strategy=Strategy.FIFO, max_size=9)))
    assert kept.size == 10
    kept = advice.advise(curves.measure(workload(keys, strategy=Strategy.FIFO, max_size=10)))
    assert (kept.strategy, kept.size) in ((Strategy.FIFO, 10), (Strategy.LRU, 10))
    one = advice.advise(
        curves.measure(workload(keys, strategy=Strategy.LRU, max_size=10), [3, 5]), only_these=True
    )
    assert (one.strategy, one.size) == (Strategy.LRU, 10)
    assert one.sentence.startswith("Keep LRU with max_size=10: 99 % of calls are hits")


def test_the_least_size_is_that_of_all_strategies() -> None:
    """A loop: LRU has nothing with one entry less, and so all strategies were told to have 101."""
    measured = curves.measure(workload([at % 101 for at in range(3000)]))
    advised = advice.advise(measured)
    assert (advised.strategy, advised.size) == (Strategy.MRU, 91)
    assert "as many as LRU with 101" in advised.sentence
    assert advised.ratio >= 0.9 * measured.optimum[-1]


@settings(deadline=None, max_examples=support.examples(60))
@given(
    keys=streams,
    strategy=st.sampled_from([None, *Strategy]),
    size=st.integers(0, 40),
    sizes=st.one_of(st.none(), st.lists(st.integers(1, 60), min_size=1, max_size=4, unique=True)),
)
def test_what_the_sentence_says_is_so(
    keys: list[int], strategy: Strategy | None, size: int, sizes: list[int] | None
) -> None:
    known = {} if strategy is None else {"strategy": strategy, "max_size": size}
    measured = curves.measure(workload(keys, **known), sorted(sizes) if sizes else None)
    advised = advice.advise(measured, only_these=sizes is not None)
    if advised.strategy is None or advised.size is None:
        return
    have = [max(ratios) for ratios in zip(*measured.ratios.values(), strict=True)]
    if "no other strategy is better" in advised.sentence:
        assert max(measured.all_at(advised.size).values()) - advised.ratio < 0.005
    if "none of these sizes has" in advised.sentence:
        assert max(have) < advised.ratio
    if "smaller" in advised.sentence:
        pairs = zip(measured.sizes, have, strict=True)
        assert all(ratio < advised.ratio for tried, ratio in pairs if tried < advised.size)
    if (advised.strategy, advised.size) == (strategy, size):
        assert advised.sentence.startswith("Keep ")


def test_sizes_that_are_all_too_small() -> None:
    keys = [at % 100 for at in range(2000)]
    measured = curves.measure(workload(keys), [5, 20, 50])
    advised = advice.advise(measured, only_these=True)
    best = [max(ratios) for ratios in zip(*measured.ratios.values(), strict=True)]
    assert advised.size == 50 and advised.ratio == max(best) < 0.9 * 0.95
    assert advised.goal == (
        "the most hits of these sizes, none of which has 90 % of the hits that any cache could have"
    )


def test_no_size_helps_where_all_keys_differ(advise: Run, tmp_path: Path) -> None:
    (tmp_path / "keys.txt").write_text("".join(f"{at}\n" for at in range(100)))
    status, out, errors = advise("keys.txt")
    assert (status, errors) == (0, "")
    assert "No cache of any size helps: each of the 100 calls has a key of its own." in out
    (tmp_path / "few.txt").write_text("".join(f"{at}\n" for at in [*range(1000), 5]))
    status, out, errors = advise("few.txt")
    assert status == 0 and "A cache hardly helps: 0.1 % of the 1001 calls repeat a key" in out


GOLDEN = """\
keys.txt: 9 calls, 4 different keys

"""


def test_a_small_case_to_the_letter(advise: Run, tmp_path: Path) -> None:
    (tmp_path / "keys.txt").write_bytes(b"a\nb\r\na\n\nc\nd\na\nc\nb\xff\na\n"[:-5] + b"b\na\n")
    status, out, errors = advise("keys.txt", "--sizes", "2,4")
    assert (status, errors) == (0, "") and out.startswith(GOLDEN)
    letters = [0, 1, 0, 2, 3, 0, 2, 1, 0]
    rows = {int(line.split()[0]): line for line in out.splitlines() if line[:8].strip().isdecimal()}
    for size in (2, 4):
        cells = [float(cell.rstrip("*")) for cell in rows[size].split()[1:]]
        header = next(line for line in out.splitlines() if "max_size " in line).split()[1:]
        named = dict(zip(header, cells, strict=True))
        expected = {
            "LRU": misses(letters, size, moves=True),
            "FIFO": misses(letters, size, moves=False),
            "optimum": optimum(letters, size),
        }
        for name, missed in expected.items():
            assert named[name] == round(100 * (9 - missed) / 9, 1)
    assert set(header) == {*(strategy.name for strategy in Strategy), "optimum"}


def test_a_recording_of_several_functions(advise: Run, tmp_path: Path) -> None:
    def called(name: str, size: int | None) -> Any:
        def function(x: int) -> int:
            return x

        function.__qualname__ = name
        return cache(max_size=size)(function)

    few, many, none = called("few", 2), called("many", None), called("unused", 5)
    none(1)
    with warp_cache.record("calls.rec"):
        for at in range(300):
            many(at % 30)
            if at % 3 == 0:
                few(at % 9)
    status, out, errors = advise("calls.rec")
    assert (status, errors) == (0, "")
    headings = [line for line in out.splitlines() if "different keys" in line]
    assert headings == [
        "test_advise.many: 300 calls, 30 different keys",
        "test_advise.few: 100 calls, 3 different keys",
    ]
    joined = " ".join(out.split())
    assert "(now LRU with max_size=None: 90 %)" in joined
    assert "(now LRU with max_size=2: 0 %)" in joined
    status, out, errors = advise("calls.rec", "--function", "test_advise.few", "--json")
    document = json.loads(out)
    assert document["complete"] and len(document["functions"]) == 1
    (function,) = document["functions"]
    assert (function["name"], function["calls"], function["keys"]) == ("test_advise.few", 100, 3)
    assert function["advice"]["max_size"] == 3 and function["advice"]["strategy"] == "LRU"
    assert function["hit_ratios"]["LRU"][-1] == function["optimum"][-1] == pytest.approx(0.97)
    assert set(function["hit_ratios"]) == {strategy.name for strategy in Strategy}
    cut = (tmp_path / "calls.rec").read_bytes()[:-8]
    (tmp_path / "cut.rec").write_bytes(cut)
    status, out, errors = advise("cut.rec")
    assert (status, errors) == (0, "The recording was cut short: its end is missing.\n")


def test_what_bounds_a_cache_beside_its_size(advise: Run) -> None:
    def called(name: str, **options: Any) -> Any:
        def function(x: int) -> int:
            return x

        function.__qualname__ = name
        return cache(**options)(function)

    found = {
        "weighed": called("weighed", max_weight=10, weigher=lambda value: 5),
        "ttl": called("ttl", ttl=60, max_size=9),
        "tti": called("tti", tti=60, max_size=9),
        "shared": called("shared", ttl=60, max_size=9, backend="shared"),
        "size": called("size", max_size=9),
    }
    with warp_cache.record("bounds.rec"):
        for at in range(200):
            for function in found.values():
                function(at % 7)
    status, out, errors = advise("bounds.rec")
    assert (status, errors) == (0, "")
    told = {part.partition(":")[0].rpartition(".")[2]: part for part in out.split("test_advise.")}
    assert found["weighed"].cache_info().hits == 0 and "now" not in told["weighed"]
    for name in ("ttl", "tti", "shared", "size"):
        assert "now LRU with max_size=9" in " ".join(told[name].split())
        assert ("Its entries end by time" in told[name]) is (name != "size")
    functions = json.loads(advise("bounds.rec", "--json")[1])["functions"]
    assert sum(function["expires"] for function in functions) == 3


@pytest.mark.parametrize(
    "text, arguments",
    [
        ("time,key\n1,x\n2,y\n3,x\n", ["--column", "key"]),
        ("time,key\n1,x\n2,y\n3,x\n", ["--column", "2"]),
        ("1,x\n2,y\n3,x\n", ["--column", "2"]),
        ("k;n\n'x;1\n y;2\n'x;3\n", []),
        ('key\tnumber\n"x"\t1\n"y"\t2\nx\t3\n', ["--column", "key"]),
        ("\ufeffkey,n\nx,1\n\ny,2\nx,3\n", ["--column", "key"]),
    ],
)
def test_columns(advise: Run, tmp_path: Path, text: str, arguments: list[str]) -> None:
    (tmp_path / "keys.csv").write_text(text, encoding="utf-8")
    status, out, errors = advise("keys.csv", "--json", *arguments)
    assert (status, errors) == (0, "")
    (function,) = json.loads(out)["functions"]
    assert (function["calls"], function["keys"]) == (3, 2)


@pytest.mark.parametrize(
    "content, arguments, message",
    [
        (None, [], "t.csv: No such file or directory"),
        (b"", ["--sizes", "x"], "argument --sizes: numbers from 1 on with commas, got 'x'"),
        (b"", ["--sizes", "0,5"], "argument --sizes: numbers from 1 on"),
        (b"", [], "t.csv: there are no keys in it"),
        (b"\n\n", [], "t.csv: there are no keys in it"),
        (b"a,b\n1,2\n", ["--column", "c"], "t.csv, line 1: no column 'c'; the first line has a, b"),
        (b"a,b\n1,2\n", ["--column", "0"], "t.csv, line 1: no column '0'"),
        (b"a,b\n1,2\n3\n", ["--column", "b"], "t.csv, line 3: there is no column b in this line"),
        (b"a,b\n1,2\n", ["--column", "5"], "t.csv, line 2: there is no column 5 in this line"),
        (b'a,b\n1,"2\n', ["--column", "b"], "t.csv, line 2: unexpected end of data"),
        (b"\x93WARPRC\x01", [], "t.csv: no call was recorded in it"),
        (b"\x93WARPRC\x01", ["--column", "1"], "t.csv: a recording has no columns"),
        (b"\x93WARPRC\x07", [], "t.csv: a recording of version 7"),
        (b"\x93WARPRC\x01?\0\0\0\0", [], "in the block at byte 8"),
        (b"1\n1\n", ["--function", "g"], "t.csv: no function 'g' in it: there is t.csv"),
    ],
)
def test_input_that_cannot_be_used(
    advise: Run, tmp_path: Path, content: bytes | None, arguments: list[str], message: str
) -> None:
    if content is not None:
        (tmp_path / "t.csv").write_bytes(content)
    status, out, errors = advise("t.csv", *arguments)
    assert status == 2 and message in errors and "Traceback" not in errors
    assert out == ""


def test_more_input_that_cannot_be_used(advise: Run, tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"a\nb\n\0\x01\n")
    status, _, errors = advise("binary")
    assert status == 2 and "binary, line 3: neither a recording nor text" in errors
    assert advise(".")[::2] == (2, "warp_cache advise: .: Is a directory\n")
    assert advise()[0] == 2
    with pytest.raises(SystemExit) as exit:
        main(["unknown"])
    assert exit.value.code == 2


def test_standard_input(advise: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    class Input:
        buffer = io.BytesIO(b"x\ny\nx\n")

    monkeypatch.setattr(sys, "stdin", Input)
    status, out, _ = advise("-", "--json")
    assert status == 0 and json.loads(out)["trace"] == "standard input"


def test_plain_text_fits_a_terminal(advise: Run, tmp_path: Path) -> None:
    (tmp_path / "keys.txt").write_text("\n".join(str(at % 77 * at % 91) for at in range(5000)))
    _, out, _ = advise("keys.txt")
    assert max(map(len, out.splitlines())) <= 80
    assert out.isascii()


def test_a_sample_stands_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    chance = random.Random(3)
    keys = [int(chance.paretovariate(0.4)) % 50_000 for _ in range(200_000)]
    whole = curves.measure(workload(keys))
    monkeypatch.setattr(curves, "_MOST_CALLS", 100_000)
    monkeypatch.setattr(curves, "_FEWEST_KEYS", 100)
    part = curves.measure(workload(keys), whole.sizes)
    assert part.rate == 0.5 and len(part.keys) < len(keys)
    sentence = terminal.report(part, advice.advise(part))
    assert "Replayed: 50 % of the keys" in sentence


@pytest.mark.parametrize("unique", [1, 2, 3, 4, 50])
def test_a_few_keys_are_never_sampled(monkeypatch: pytest.MonkeyPatch, unique: int) -> None:
    keys = [at % unique for at in range(1000)]
    whole = curves.measure(workload(keys))
    monkeypatch.setattr(curves, "_MOST_CALLS", 10)
    part = curves.measure(workload(keys))
    assert (part.rate, part.ratios) == (1, whole.ratios)


def test_a_key_may_hold_what_unicode_calls_a_line_separator(advise: Run, tmp_path: Path) -> None:
    (tmp_path / "keys.csv").write_text(
        "name,n\nfoo\u2028bar,5\nfoo\x85bar,5\nfoo\u2028bar,5\n", encoding="utf-8"
    )
    status, out, _ = advise("keys.csv", "--column", "name", "--json")
    (found,) = json.loads(out)["functions"]
    assert status == 0 and (found["calls"], found["keys"]) == (3, 2)


LONG = """
import signal
from array import array
from warp_cache._warp_cache_rs import _replay
# Who runs the tests in the background ignores it, and so would this process.
signal.signal(signal.SIGINT, signal.default_int_handler)
keys = array("I", [at * at % 999_983 for at in range(1_000_000)])
try:
    print("ready", flush=True)
    _replay(keys, [(0, 500_000), (None, 500_000)] * 2000)
except KeyboardInterrupt:
    print("interrupted")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="nobody tells what threads a process has")
def test_ctrl_c_ends_a_replay() -> None:
    def interrupt(process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
        # The script has one thread, and the replay others beside it.
        support.eventually(lambda: len(os.listdir(f"/proc/{process.pid}/task")) > 1)
        process.send_signal(signal.SIGINT)

    done = support.run_python(LONG, talk=interrupt)
    assert done.returncode == 0 and done.stdout == "interrupted\n", done.stderr


def test_traces_name_their_file() -> None:
    with pytest.raises(traces.TraceError, match="nowhere: No such file"):
        traces.load("nowhere", None)
