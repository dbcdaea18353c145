"""Command line of the harness: which parts, how many rounds, and where the results go."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks import docs, machine, report, run
from benchmarks.harness import Options
from benchmarks.model import PartResult
from benchmarks.parts import NAMES

QUICK = Options(rounds=5, sample_ms=8.0, quick=True)


def main(argv: list[str] | None = None) -> int:
    arguments = _parser().parse_args(argv)
    if arguments.worker is not None:
        options = Options(**json.loads(arguments.options))
        run.worker(arguments.part[0], options, arguments.worker)
        return 0
    if arguments.read is not None:
        found = json.loads(arguments.read.read_text(encoding="utf-8"))
    else:
        options = QUICK if arguments.quick else Options()
        if arguments.rounds is not None:
            options = replace(options, rounds=arguments.rounds)
        if arguments.json is not None and arguments.json.is_dir():
            arguments.json /= f"{machine.section_key(machine.describe())}.json"
        earlier = _earlier(arguments.json) if arguments.update else None
        found = run.measure(arguments.part, options, earlier)
    results = [PartResult.from_json(part) for part in found["parts"]]
    print(report.terminal(results, found["machine"]))
    if arguments.json is not None:
        text = json.dumps(found, indent=1, ensure_ascii=False)
        arguments.json.write_text(text + "\n", encoding="utf-8")
    if arguments.docs is not None:
        docs.write(arguments.docs, results, found["machine"], found["date"])
    return 1 if found["failed"] else 0


def _earlier(path: Path | None) -> dict[str, Any] | None:
    if path is None or not path.exists():
        return None
    earlier: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return earlier


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure warp_cache beside functools.lru_cache and the caches on PyPI.",
    )
    parser.add_argument(
        "--part",
        metavar="NAME,…",
        type=_parts,
        default=list(NAMES),
        help=f"only these parts, of {', '.join(NAMES)}",
    )
    parser.add_argument("--rounds", type=_positive, help=f"default {Options.rounds}")
    parser.add_argument("--quick", action="store_true", help="few, short rounds: for a look only")
    parser.add_argument(
        "--json",
        metavar="FILE",
        type=Path,
        help="write every round to FILE; in a folder, to a file named after the interpreter",
    )
    parser.add_argument(
        "--update",
        action="store_true",
        help="keep the parts in --json's FILE that this run does not measure",
    )
    parser.add_argument(
        "--docs", metavar="FILE", type=Path, help="write this interpreter's section of this file"
    )
    parser.add_argument(
        "--from",
        dest="read",
        metavar="FILE",
        type=Path,
        help="measure nothing: report what --json has written to this file",
    )
    parser.add_argument("--worker", metavar="FILE", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--options", help=argparse.SUPPRESS)
    return parser


def _parts(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    for name in names:
        if name not in NAMES:
            raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(NAMES)}")
    return [name for name in NAMES if name in names]


def _positive(text: str) -> int:
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be a positive integer, got {text!r}")
    return value


if __name__ == "__main__":
    sys.exit(main())
