#!/usr/bin/env python3
"""What wisp adds to a program: its size, its memory at rest, its start, and the time to compile its header.

    footprint.py            a line for each figure with its limit; exits 1 if one is missed
    footprint.py --quick    sizes alone, which are the same each time

Runs beside the programs that the target wisp_footprint builds. Times are ratios, each to its own reference, taken by
turns in the same run.
"""

import argparse
import glob
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROUNDS = 9
MORE = 100  # functions in one program than in the other, and types in the third


def run(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def sizes(program, folder):
    """Bytes of text, that is code and what is read only, and of data, of the stripped program."""
    stripped = Path(folder) / "stripped"
    run("strip", "-o", str(stripped), str(program))
    text, data = run("size", str(stripped)).splitlines()[1].split()[:2]
    return int(text), int(data)


def with_abseil(config, folder):
    """The text of the example with Abseil's archives in it; None where there are none."""
    archives = glob.glob(config["absl_archives"] + "/libabsl_*.a") if config["absl_archives"] else []
    if not archives:
        return None
    program = Path(folder) / "whole"
    run(config["compiler"], *config["flags"].split(), "-I" + config["include"], config["hello"], config["core"],
        "-Wl,--start-group", *archives, "-Wl,--end-group", "-Wl,--gc-sections", "-lfmt", "-pthread", "-o", str(program))
    return sizes(program, folder)[0]


def in_turns(ours, reference):
    """The median ratio of the first measure to the second, each pair taken in one round."""
    return statistics.median(float(ours()) / float(reference()) for _ in range(ROUNDS))


def fastest(ours, reference):
    """The ratio of the least of each, for what another process on the machine may hold up for much longer than it takes."""
    rounds = [(float(ours()), float(reference())) for _ in range(5 * ROUNDS)]
    return min(each[0] for each in rounds) / min(each[1] for each in rounds)


def compile_seconds(config, header, folder):
    source = Path(folder) / "header.cpp"
    source.write_text(f"#include <{header}>\n")
    began = time.monotonic()
    run(config["compiler"], *config["flags"].split(), "-I" + config["include"], "-c", str(source), "-o", "/dev/null")
    return time.monotonic() - began


def figures(config, quick, folder):
    """Yields what it is, the figure, the limit or None, and how to print it."""
    yield ("text of a stripped example, core only", sizes(HERE / "footprint_hello", folder)[0], 700_000, "{:,.0f} bytes")
    yield ("the same linked without --gc-sections", sizes(HERE / "footprint_hello_whole", folder)[0], None, "{:,.0f} bytes")
    names = ("few", "many", "typed", "failing_few", "failing")
    few, many, typed, failing_few, failing = (sum(sizes(HERE / f"footprint_functions_{name}", folder)) for name in names)
    yield ("text and data per function", (many - few) / MORE, 2048, "{:,.0f} bytes")
    yield ("the same where it may fail, with its message", (failing - failing_few) / MORE, None, "{:,.0f} bytes")
    yield ("and per input type of two fields", (typed - many) / MORE, None, "{:,.0f} bytes")
    if quick:
        return
    whole = with_abseil(config, folder)
    if whole is not None:
        yield ("the same example with Abseil's archives in it", whole, None, "{:,.0f} bytes")
    idle = str(HERE / "footprint_idle")
    resident = statistics.median(float(run(idle, "memory")) for _ in range(ROUNDS))
    yield ("resident memory of an idle runtime", resident, 2_000_000, "{:,.0f} bytes")
    yield ("construction to first call ÷ a thread's creation",
           fastest(lambda: run(idle, "call"), lambda: run(idle, "thread")), 20, "{:.2f}")
    yield ("compile time of wisp/wisp.hpp ÷ absl/status/statusor.h",
           in_turns(lambda: compile_seconds(config, "wisp/wisp.hpp", folder),
                    lambda: compile_seconds(config, "absl/status/statusor.h", folder)), 2.5, "{:.2f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="sizes alone")
    quick = parser.parse_args().quick
    config = json.loads((HERE / "footprint.json").read_text())
    missed = False
    with tempfile.TemporaryDirectory() as folder:
        for what, figure, limit, shape in figures(config, quick, folder):
            verdict = "" if limit is None else "pass" if figure <= limit else "miss"
            missed = missed or verdict == "miss"
            bound = "" if limit is None else shape.format(limit)
            print(f"{what:<56} {shape.format(figure):>16} {bound:>16}  {verdict}", flush=True)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
