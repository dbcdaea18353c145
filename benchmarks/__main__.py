"""Command line of the harness: which parts, how many rounds, and where the results go."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path

from benchmarks import docs, machine, report, run, summary
from benchmarks.files import BadRun, Run, read
from benchmarks.harness import Options
from benchmarks.parts import NAMES

QUICK = Options(rounds=5, sample_ms=8.0, quick=True)
# Of all parts together; with the start of processes and what parts go over, under three minutes.
QUICK_S = 150.0


def main(argv: list[str] | None = None) -> int:
    parser = _parser()
    arguments = parser.parse_args(argv)
    if arguments.worker is not None:
        options = Options(**json.loads(arguments.options))
        run.worker(arguments.part[0], options, arguments.worker)
        return 0
    try:
        return _report(arguments)
    except (BadRun, docs.BadDocument) as error:
        parser.error(str(error))


def _report(arguments: argparse.Namespace) -> int:
    # What cannot be written to is to be known before hours of measuring, not after.
    if arguments.docs is not None:
        docs.check(arguments.docs)
    if arguments.readme is not None:
        summary.check(arguments.readme)
    if arguments.json is not None and not arguments.json.parent.is_dir():
        raise docs.BadDocument(f"--json: there is no folder {arguments.json.parent}")
    found = read(arguments.read) if arguments.read is not None else _measured(arguments)
    if arguments.json is not None:
        found.write(arguments.json)
    print(report.terminal(found))
    if arguments.docs is not None:
        lost = docs.lost(arguments.docs, found) if arguments.update else []
        if lost:
            parts = ", ".join(lost)
            print(
                f"{arguments.docs} stays as it is: its page has parts "
                f"that were never measured here: {parts}"
            )
        else:
            docs.write(arguments.docs, found)
    if arguments.readme is not None:
        summary.write(arguments.readme, found)
    return 1 if found.failed else 0


def _measured(arguments: argparse.Namespace) -> Run:
    options = QUICK if arguments.quick else Options()
    if arguments.rounds is not None:
        options = replace(options, rounds=arguments.rounds)
    if arguments.json is not None and arguments.json.is_dir():
        quick = "quick-" if arguments.quick else ""
        arguments.json /= f"{quick}{machine.section_key(machine.describe())}.json"
    earlier = None
    if arguments.update and arguments.json is not None and arguments.json.exists():
        earlier = read(arguments.json)
    budget = QUICK_S if arguments.quick else None
    return run.measure(arguments.part, options, earlier, arguments.budget or budget)


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
    parser.add_argument(
        "--quick", action="store_true", help="few, short rounds: for a look only, not to be quoted"
    )
    parser.add_argument(
        "--budget",
        metavar="SECONDS",
        type=_positive,
        help="for all parts together; what there is no time for is named in the report",
    )
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
        "--docs",
        metavar="FOLDER",
        type=Path,
        help="write this interpreter's page in this folder, its pictures, and the list of pages",
    )
    parser.add_argument(
        "--readme",
        metavar="FILE",
        type=Path,
        help="write the short table between this file's numbers:begin and numbers:end",
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
    if not names:
        raise argparse.ArgumentTypeError(f"must name at least one of {', '.join(NAMES)}")
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
