"""Which objects are keys in the shared tier: equal ones alike in all processes, others never."""

from __future__ import annotations

import datetime as dt
import itertools
import os
import pathlib
import subprocess
import sys
from typing import Any

import keyless_zoo
import object_zoo as zoo
import own_zones
import pytest
import support
from hypothesis import given, settings
from hypothesis import strategies as st
from support import check_clean, run_python

from warp_cache import cache
from warp_cache._warp_cache_rs import _encode_key, _explain_key


def stored(value: object) -> bytes:
    made = _encode_key((value,))
    assert made is not None, (value, _explain_key((value,)))
    return made


def is_one_key(a: Any, b: Any) -> bool:
    """What a dictionary says."""
    return a is b or bool(hash(a) == hash(b) and a == b)


def test_equal_keys_have_equal_bytes_and_unequal_ones_never() -> None:
    spelled = [stored(value) for value in zoo.KEYS]
    for (a, of_a), (b, of_b) in itertools.combinations(zip(zoo.KEYS, spelled, strict=True), 2):
        assert (of_a == of_b) is is_one_key(a, b), (a, b)
    for value, of_value in zip(zoo.KEYS, spelled, strict=True):
        assert stored(value) == of_value
        assert stored((value,)) != of_value


SCRIPT = """
import sys
sys.path[:0] = {path!r}
import object_zoo as zoo
from warp_cache._warp_cache_rs import _encode_key
sys.stdout.write(" ".join((_encode_key((value,)) or b"").hex() for value in zoo.KEYS))
"""


def test_processes_agree() -> None:
    folder = pathlib.Path(__file__).resolve().parent
    path = [str(folder), str(folder.parent), str(folder.parents[1])]
    here = [stored(value).hex() for value in zoo.KEYS]
    for seed in ("1", "2"):
        done = run_python(SCRIPT.format(path=path), environment={"PYTHONHASHSEED": seed})
        check_clean(done)
        for value, one, two in zip(zoo.KEYS, here, done.stdout.split(" "), strict=True):
            assert one == two, value


@pytest.mark.parametrize("pair", zoo.FOUND_APART, ids=lambda pair: type(pair[0]).__name__)
def test_what_is_equal_in_another_state_is_a_miss(pair: tuple[Any, Any]) -> None:
    assert is_one_key(*pair)
    assert stored(pair[0]) != stored(pair[1])


@pytest.mark.parametrize("value", keyless_zoo.NO_KEYS, ids=lambda value: type(value).__name__)
def test_what_has_no_bytes_says_why(value: Any) -> None:
    opened = keyless_zoo.Connection.opened
    assert _encode_key((value,)) is None
    assert _encode_key((1, (value,))) is None
    found = _explain_key((1, value))
    assert found is not None
    number, reason = found
    assert number == 1 and ": " in reason, reason
    assert keyless_zoo.Connection.opened == opened, "nothing is opened to look at it"


def test_reasons_name_what_is_refused() -> None:
    def reason(value: object) -> str:
        found = _explain_key((value,))
        assert found is not None
        return found[1]

    assert _explain_key((1, "a")) is None
    assert "Lone: a time zone" in reason(dt.datetime(2024, 7, 1, tzinfo=own_zones.Lone(1)))
    assert "compared by identity" in reason((1, frozenset([object()])))
    assert "not found under its name" in reason(lambda: 1)
    assert "pickle" in reason(keyless_zoo.ByState("Plan", "ann"))


# --- state that the pickled form leaves out


@support.uncacheable
@pytest.mark.parametrize("kind", keyless_zoo.LEAVING_OUT)
def test_what_a_pickled_form_leaves_out(kind: type[keyless_zoo.Document]) -> None:
    readers = [None, "ann", "bob", "a", ("bob",)]
    documents = [kind("Plan", reader) for reader in readers]
    for wrap in (lambda one: one, lambda one: (one, 1), lambda one: frozenset([one]), zoo.Frozen):
        spelled = [_encode_key((wrap(one),)) for one in documents]
        for (a, of_a), (b, of_b) in itertools.combinations(zip(documents, spelled, strict=True), 2):
            assert of_a is None or of_a != of_b, (a.reader, b.reader)

    @cache(backend="shared", name=f"rendered {kind.__name__}")
    def rendered(document: keyless_zoo.Document, in_what: Any) -> str:
        return f"{document.title}, for {document.reader}"

    for _ in range(2):
        for document, reader in zip(documents, readers, strict=True):
            assert rendered(document, (document,)) == f"Plan, for {reader}"


values: st.SearchStrategy[Any] = st.recursive(
    st.sampled_from([0, 1, True, 1.0, -0.0, 0.0, "a", b"a", None, zoo.Level.LOW, zoo.Color.RED])
    | st.sampled_from(
        [zoo.MISSING, own_zones.UTC, zoo.Point(1, 2), zoo.Right.READ, 2**70, range(0)]
    )
    | st.fractions(max_denominator=3)
    | st.decimals(-2, 2, places=1),
    lambda parts: (
        st.tuples(parts)
        | st.tuples(parts, parts)
        | st.frozensets(parts, max_size=2)
        | st.builds(zoo.Frozen, parts, parts)
        | st.builds(zoo.Strict, parts)
        | st.builds(zoo.Attrs, parts)
        | st.builds(zoo.Everything, parts)
        | st.builds(keyless_zoo.ByState, st.just("Plan"), parts)
        | st.builds(keyless_zoo.BySetState, st.just("Plan"), parts)
        | st.builds(zoo.Partly, parts, parts)
    ),
    max_leaves=4,
)


@settings(max_examples=support.examples(60), deadline=None)
@given(values, values)
def test_bytes_are_equal_for_equal_keys_alone(a: Any, b: Any) -> None:
    of_a, of_b = _encode_key((a,)), _encode_key((b,))
    if of_a is not None and of_a == of_b:
        assert is_one_key(a, b)
    assert _encode_key((a,)) == of_a


# --- moments

naive = st.datetimes(dt.datetime(2023, 1, 1), dt.datetime(2024, 12, 31))
zones = st.sampled_from(
    [
        own_zones.UTC,
        own_zones.fixed(1),
        own_zones.fixed(-5.5),
        own_zones.Interned.of(1),
        own_zones.Zone(2),
    ]
)


def berlin() -> Any:
    zoneinfo = pytest.importorskip("zoneinfo")
    try:
        return zoneinfo.ZoneInfo("Europe/Berlin")
    except zoneinfo.ZoneInfoNotFoundError:
        pytest.skip("needs time zone data")


@given(naive, naive, zones | st.none(), zones | st.none(), st.integers(-3, 3))
def test_moments(a: Any, b: Any, zone: Any, other: Any, hours: int) -> None:
    one = a.replace(tzinfo=zone)
    for two in (b.replace(tzinfo=other), (a + dt.timedelta(hours=hours)).replace(tzinfo=other)):
        if stored(one) == stored(two):
            assert is_one_key(one, two)
        fixed = (None, own_zones.UTC, own_zones.fixed(1), own_zones.fixed(-5.5))
        if zone in fixed and other in fixed and is_one_key(one, two):
            assert stored(one) == stored(two)


def test_hours_that_come_twice_and_hours_that_are_left_out() -> None:
    zone = berlin()
    fall, spring = dt.datetime(2024, 10, 27, 2, 30), dt.datetime(2024, 3, 31, 2, 30)
    moments = [
        when.replace(tzinfo=tz, fold=fold)
        for when in (fall, spring, fall - dt.timedelta(hours=1), spring + dt.timedelta(hours=1))
        for tz in (zone, None, own_zones.UTC, own_zones.fixed(1), own_zones.fixed(2))
        for fold in (0, 1)
    ]
    moments += [moment.astimezone(own_zones.UTC) for moment in moments if moment.tzinfo]
    spelled = [stored(moment) for moment in moments]
    for (a, of_a), (b, of_b) in itertools.combinations(zip(moments, spelled, strict=True), 2):
        assert (of_a == of_b) is is_one_key(a, b), (a, b)


def test_zones_by_key() -> None:
    zone = berlin()
    zoneinfo = sys.modules["zoneinfo"]
    assert stored(zone) == stored(zoneinfo.ZoneInfo("Europe/Berlin"))
    assert stored(zone) != stored(zoneinfo.ZoneInfo("Europe/Paris"))
    lone = zoneinfo.ZoneInfo.no_cache("Europe/Berlin")
    assert _encode_key((lone,)) is None
    usual = dt.datetime(2024, 7, 1, 12, tzinfo=lone)
    assert (
        stored(usual)
        == stored(usual.replace(tzinfo=zone))
        == stored(usual.astimezone(own_zones.UTC))
    )
    assert _encode_key((dt.datetime(2024, 10, 27, 2, 30, tzinfo=lone),)) is None


def test_a_zone_in_which_two_times_are_one_instant() -> None:
    zone = own_zones.Sloppy()
    one, two = (dt.datetime(2024, 3, 31, hour, tzinfo=zone) for hour in (2, 3))
    assert one != two and one.astimezone(own_zones.UTC) == two.astimezone(own_zones.UTC)
    spelled = [_encode_key((moment,)) for moment in (one, two)]
    assert spelled[0] is None or spelled[0] != spelled[1]


def test_zones_of_other_packages() -> None:
    pytz = pytest.importorskip("pytz")
    summer, winter = dt.datetime(2024, 7, 1, 12), dt.datetime(2024, 1, 1, 12)
    moments = [
        pytz.timezone(name).localize(when)
        for name in ("Europe/Berlin", "Europe/Paris", "UTC", "America/New_York")
        for when in (summer, winter)
    ]
    moments += [pytz.FixedOffset(120).localize(summer), *(m.astimezone(pytz.UTC) for m in moments)]
    spelled = [stored(moment) for moment in moments]
    for (a, of_a), (b, of_b) in itertools.combinations(zip(moments, spelled, strict=True), 2):
        assert (of_a == of_b) is is_one_key(a, b), (a, b)
    places = [pytz.timezone(name) for name in ("Europe/Berlin", "Europe/Paris", "UTC")]
    assert len({stored(place) for place in [*places, moments[0].tzinfo, moments[1].tzinfo]}) == 5


def test_a_zone_of_a_fixed_offset() -> None:
    pytz = pytest.importorskip("pytz")
    assert stored(pytz.FixedOffset(60)) != stored(pytz.FixedOffset(90))


PROCESS = """
import attr, importlib.util, sys
from warp_cache._warp_cache_rs import _encode_key

@attr.frozen
class Point:
    x: int

values = [Point(1), (Point(1), Point(2))]
if importlib.util.find_spec("pandas"):
    import pandas
    values += [pandas.Timestamp(1), pandas.CategoricalDtype(["a", "b"])]
print([_encode_key((value,)).hex() for value in values])
"""


def test_processes_agree_on_classes_of_other_packages(tmp_path: pathlib.Path) -> None:
    """What a package makes of a class holds numbers that depend on the hash seed."""
    pytest.importorskip("attr")
    (tmp_path / "program.py").write_text(PROCESS)
    command = [sys.executable, str(tmp_path / "program.py")]
    seeds = [{**os.environ, "PYTHONHASHSEED": seed} for seed in ("1", "2")]
    said = [subprocess.check_output(command, env=seed, text=True) for seed in seeds]
    assert said[0] == said[1]


def test_scalars_of_arrays() -> None:
    numpy = pytest.importorskip("numpy")
    same = [
        *((numpy.int64(1), 1), (numpy.float64(0.5), 0.5), (numpy.bool_(True), 1)),
        *((numpy.str_("a"), "a"), (numpy.int8(1), numpy.uint64(1)), (numpy.complex64(1j), 1j)),
        *((numpy.float32(0.5), 0.5), (numpy.bytes_(b"a"), b"a"), ((numpy.int64(1),), (1,))),
        (zoo.Frozen(numpy.int64(1)), zoo.Frozen(1)),
    ]
    for a, b in same:
        assert is_one_key(a, b) and stored(a) == stored(b), a
    kinds = ["int64", "float64", ">i4", "<i4", "datetime64[s]", [("a", "i4")], "U3"]
    different = [numpy.dtype(kind) for kind in kinds]
    different += [numpy.add, numpy.subtract, numpy.int64, numpy.float64]
    assert len({stored(value) for value in different}) == len(different)
    assert stored(numpy.dtype("int64")) == stored(numpy.dtype(numpy.int64))
    assert _encode_key((numpy.float64("nan"),)) is None


def test_stamps_of_frames() -> None:
    pandas = pytest.importorskip("pandas")
    zone = berlin()
    stamp = pandas.Timestamp
    values = [
        *(stamp("2024-07-01"), dt.datetime(2024, 7, 1), stamp("2024-07-01", tz="UTC")),
        *(stamp("2024-07-01T02", tz=zone), dt.datetime(2024, 7, 1, tzinfo=own_zones.UTC)),
        *(stamp(1), stamp(2), stamp("2024-07-01") + pandas.Timedelta(1, "ns"), dt.timedelta(1)),
        *(stamp(1729989000, unit="s", tz=zone), stamp(1729989000 + 3600, unit="s", tz=zone)),
        *(pandas.Timedelta(1, "D"), pandas.Timedelta(1, "ns"), pandas.CategoricalDtype(["a"])),
        *(pandas.CategoricalDtype(["b"]), pandas.StringDtype(), pandas.Int64Dtype()),
        *(pandas.DatetimeTZDtype(tz="UTC"), pandas.DatetimeTZDtype(tz=zone), pandas.NaT),
    ]
    spelled = [_encode_key((value,)) for value in values]
    kept = [(value, of) for value, of in zip(values, spelled, strict=True) if of is not None]
    assert len(kept) >= len(values) - 2, [
        (value, _explain_key((value,))) for value, of in zip(values, spelled, strict=True) if not of
    ]
    for (a, of_a), (b, of_b) in itertools.combinations(kept, 2):
        assert (of_a == of_b) is is_one_key(a, b), (a, b)
