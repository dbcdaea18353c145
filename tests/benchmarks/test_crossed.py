"""The files that a call runs through, read from what callgrind writes."""

from __future__ import annotations

from benchmarks.crossed import crossed

DUMP = """\
ob=(1) /venv/_warp_cache_rs.so
fl=(1) /checkout/crates/python/src/function/fast_path.rs
fn=(1) one
10 3
fi=(2) /checkout/crates/engine/src/slab.rs
11 1
fe=(3) /rustc/library/core/src/ptr.rs
12 1
fi=(4) /checkout/crates/python/src/lib.rs
0 1
fl=(1)
cfi=(5) /checkout/crates/shared/src/handle.rs
cfn=(2) called
calls=1 40
13 900
14 1
"""


def test_a_file_counts_where_a_line_of_it_runs() -> None:
    names: dict[tuple[str, str], str] = {}
    fast_path, slab = "crates/python/src/function/fast_path.rs", "crates/engine/src/slab.rs"
    assert crossed(DUMP.splitlines(), names) == {fast_path, slab}
    # Names are abbreviated from one dump to the next.
    assert crossed(["fl=(5)", "+1 2"], names) == {"crates/shared/src/handle.rs"}
