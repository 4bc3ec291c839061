#!/usr/bin/env python3
"""Has Spin explore a model of what is done without a mutex, and each mutated one that must fail.

    check.py pool_wake.pml      exits 1 if a run is not as expected, 77 if Spin or a C compiler is missing, and 1 for that too
                                with WISP_REQUIRE_SPIN=1

Spin is the package `spin` of Debian. Every state of a run is visited, so that the outcome does not depend on chance. The
largest runs, half of the time, are for WISP_MODELS=all.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ABSENT = 1 if os.environ.get("WISP_REQUIRE_SPIN", "0") not in ("", "0") else 77
DEPTH_MAX = 1_000_000
RUN_SECONDS_MAX = 120

# Of each model what must hold, and in which surroundings; then each mistake, and which assertion must see it. The sizes
# keep a model below two minutes, and a run below 400 MB.
MODELS = {
    "pool_wake": (
        [
            "",
            "-DTASKS=1 -DSPURIOUS=1",
            "-DTASKS=1 -DMIN=1 -DFAULT -DSPURIOUS=1",
            "-DTASKS=1 -DCLOSE -DFAULT -DSPURIOUS=1",
            "-DTASKS=2 -DSUBMITTERS=1 -DCLOSE -DMIN=1",
            "-DSUPERVISOR -DTASKS=1 -DCLOSE",
            "-DSUPERVISOR -DTASKS=3 -DSUBMITTERS=1",
            "-DSUPERVISOR -DTASKS=4 -DSUBMITTERS=1 -DMAX=1",
        ],
        [
            ("-DMUTANT_NO_RECHECK", "queued==0"),
            ("-DMUTANT_WAKE_ONLY_PARKED", "queued==0"),
            ("-DMUTANT_PARK_UNSEEN", "queued==0"),
            ("-DMUTANT_TWO_WOKEN", "starting_-unborn_"),
            ("-DTASKS=1 -DCLOSE -DMUTANT_SILENT_CLOSE", "close_returned"),
            ("-DSUPERVISOR -DTASKS=4 -DSUBMITTERS=1 -DMAX=1 -DMUTANT_LEAVES_UNSERVED", "armed"),
        ],
    ),
    "readers": (
        [
            "-DREADERS=1 -DROUNDS=3 -DUPDATES=3",
            "-DSYMMETRIC -DREADERS=1 -DROUNDS=3 -DUPDATES=3",
            "-DSYMMETRIC -DROUNDS=1",
            "-DMEMORY -DREADERS=1 -DROUNDS=3 -DUPDATES=3",
            "-DMEMORY -DSYMMETRIC -DREADERS=1 -DROUNDS=3 -DUPDATES=3",
        ],
        [
            ("-DREADERS=1 -DMUTANT_NO_BARRIER", "deleted[list]"),
            ("-DREADERS=1 -DSYMMETRIC -DMUTANT_NO_BARRIER", "deleted[list]"),
            ("-DREADERS=1 -DMUTANT_HOLDS_FIRST", "deleted[list]"),
            ("-DREADERS=1 -DMUTANT_LOOK_ENDS_FIRST", "deleted[list]"),
            ("-DREADERS=1 -DMUTANT_AGES_FIRST", "deleted[list]"),
            ("-DREADERS=1 -DMUTANT_WAITS_LATE", "garbage==0"),
            ("-DREADERS=1 -DMUTANT_COLLECTS_FIRST", "garbage==0"),
            ("-DMEMORY -DREADERS=1 -DMUTANT_RECALLS_FIRST", "deleted[list]"),
            ("-DMEMORY -DREADERS=1 -DMUTANT_FORGETS_VAIN_HOLD", "garbage==0"),
        ],
    ),
    "publishing": (
        [
            "",
            "-DPUBLISHERS=1 -DPUBLISHES=3",
            "-DSYMMETRIC",
            "-DSTOP",
            "-DSTOP -DIMPATIENT",
            "-DSTOP -DIMPATIENT -DPUBLISHERS=1 -DPUBLISHES=3",
            "-DSTOP -DSYMMETRIC",
        ],
        [
            ("-DMUTANT_NO_BARRIER", "ended[route]"),
            ("-DSYMMETRIC -DMUTANT_NO_BARRIER", "ended[route]"),
            ("-DMUTANT_CLOSINGS_LATE", "ended[route]"),
            ("-DMUTANT_PARKS_UNSEEN", "returned"),
            ("-DMUTANT_LEAVES_SILENTLY", "returned"),
            ("-DSTOP -DMUTANT_NO_BARRIER", "settled"),
            ("-DSTOP -DMUTANT_OPEN_FIRST", "settled"),
            ("-DSTOP -DMUTANT_MARKS_LATE", "settled"),
            ("-DSTOP -DMUTANT_DRAINER_SLEEPS", "returned"),
            ("-DSTOP -DIMPATIENT -DMUTANT_ABORTS_BARELY", "settled"),
        ],
    ),
    "brief_mutex": (
        ["-DTURNS=3", "-DPRIORITY"],
        [
            ("-DMUTANT_LOADS_THEN_STORES -DTURNS=1", "inside==1"),
            ("-DMUTANT_UNLOCKS_RELAXED -DTURNS=1", "mem[1]=="),
            ("-DPRIORITY -DMUTANT_NEVER_SLEEPS", "non-progress cycle"),
        ],
    ),
}

# What must hold too.
LARGE = {"readers": ["-DROUNDS=1", "-DUPDATES=1", "-DMEMORY -DUPDATES=1"]}


def explore(model, options, level, compiler, folder):
    """What pan prints about the model with these macros, compiled at that level."""
    subprocess.run(["spin", "-a", *options.split(), str(model)], cwd=folder, check=True)
    # Runs without end are sought where the model has priorities, which the usual reduction of interleavings rules out.
    endless = "-DPRIORITY" in options.split()
    kind = ["-DNP", "-DNOREDUCE"] if endless else ["-DSAFETY"]
    subprocess.run([compiler, level, "-w", *kind, "-DCOLLAPSE", "-o", "pan", "pan.c"], cwd=folder, check=True)
    # -E: at rest a thread may wait in the futex, which Spin alone would take for a deadlock. AtRest judges.
    pan = ["./pan", "-E", *(["-l", "-f"] if endless else []), f"-m{DEPTH_MAX}", "-w20"]
    return subprocess.run(
        pan, cwd=folder, check=True, capture_output=True, text=True, timeout=RUN_SECONDS_MAX
    ).stdout


def fault(output, violated):
    """Why the output is not the expected one; empty if it is."""
    if "max search depth too small" in output or "out of memory" in output:
        return "the search was cut short"
    lines = [line for line in output.splitlines() if "assertion violated" in line or "non-progress cycle (" in line]
    if violated is None:
        return "" if "errors: 0" in output and not lines else "\n".join(lines) or "no verdict"
    if any(violated in line for line in lines):
        return ""
    return f"the mistake went unseen: nothing violates {violated}: {lines}"


def main(model):
    compiler = shutil.which("cc") or shutil.which("gcc")
    if shutil.which("spin") is None or compiler is None:
        print("absent: needs spin (Debian package 'spin') and a C compiler")
        return ABSENT
    failed = False
    sound, mutants = MODELS[model.stem]
    if os.environ.get("WISP_MODELS", "") == "all":
        sound = sound + LARGE.get(model.stem, [])
    for options, violated in [(options, None) for options in sound] + mutants:
        began = time.monotonic()
        level = "-O1" if violated is None else "-O0"  # a mistake is found sooner than the compiler optimises
        with tempfile.TemporaryDirectory() as folder:
            wrong = fault(explore(model, options, level, compiler, folder), violated)
        print(f"{time.monotonic() - began:6.1f} s  {options}: {wrong or 'as expected'}", flush=True)
        failed = failed or bool(wrong)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]).resolve()))
