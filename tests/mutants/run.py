#!/usr/bin/env python3
"""Proves that the properties of tests/promises bite: each mutant breaks a promise, and must be caught.

    run.py --build DIR [--compiler CXX] [NAME...]

Keeps a copy of the tree in DIR, and where there are many mutants one for each core. It must pass; then, one after the other, each mutant (NAME.patch beside this file, with
a first line "Promise: <tag>") is applied, must compile, and must fail the properties of its tag; and is taken back. Without
names three are tried, others each day; the run says how to try the same again.

WISP_MUTANTS        "all", or how many (3)
WISP_MUTANTS_FROM   which turn: that many come later in the list for each 1 (the day of the year)
WISP_TEST_SEEDS     seeds of each property (200, and no more: those of .ci/run have to do)
"""

import argparse
import concurrent.futures
import datetime
import os
import queue
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
COPIED = ("include", "src", "cmake", "tests", "CMakeLists.txt", "README.md")
PROGRAM = "wisp_test_promises"
SEEDS_MAX = 200
MUTANTS_A_COPY = 8  # fewer are sooner through one copy than another is built
RUN_SECONDS_MAX = 150  # a mutant that hangs is caught too, and said to be


class Mutant:
    def __init__(self, path):
        self.name = path.stem
        first, *lines = path.read_text(encoding="utf-8").splitlines()
        match = re.fullmatch(r"Promise: \[?([\w.-]+)\]?", first)
        if not match:
            sys.exit(f"{path.name}: its first line must be 'Promise: <tag>', not '{first}'")
        self.tag = f"[{match.group(1)}]"
        self.changes = {}  # file → pairs of the lines before and after
        hunks = None
        for line in lines:
            if line.startswith("+++ b/"):
                hunks = self.changes.setdefault(line.removeprefix("+++ b/").split("\t")[0], [])
            elif line.startswith("@@") and hunks is not None:
                hunks.append(([], []))
            elif line[:1] in (" ", "-", "+", "") and hunks:
                old, new = hunks[-1]
                if line[:1] != "+":
                    old.append(line[1:])
                if line[:1] != "-":
                    new.append(line[1:])
            elif line.startswith("diff "):
                hunks = None

    def applied(self, name, text):
        """`text` with the changes of that file, each where its lines are and nowhere else."""
        for old, new in self.changes[name]:
            before, after = ("".join(line + "\n" for line in lines) for lines in (old, new))
            if text.count(before) != 1 or before == after:
                sys.exit(f"{self.name} does not apply: these are {text.count(before)} times in {name}\n{before}")
            text = text.replace(before, after)
        return text


def choose(mutants, names):
    if names:
        missing = set(names) - {each.name for each in mutants}
        if missing:
            sys.exit(f"no such mutant: {', '.join(sorted(missing))}")
        return [each for each in mutants if each.name in names]
    wanted = os.environ.get("WISP_MUTANTS") or "3"
    if wanted == "all":
        return mutants
    count = min(int(wanted), len(mutants))
    turn = int(os.environ.get("WISP_MUTANTS_FROM") or datetime.date.today().timetuple().tm_yday)
    print(f"{count} of {len(mutants)} mutants, again by WISP_MUTANTS={wanted} WISP_MUTANTS_FROM={turn}")
    return [mutants[(turn * count + i) % len(mutants)] for i in range(count)]


def copy(tree):
    """Makes `tree` equal to the sources; touches only files that differ, so that little is compiled anew."""
    sources = set()
    for name in COPIED:
        top = ROOT / name
        sources.update(path.relative_to(ROOT) for path in ([top] if top.is_file() else top.rglob("*"))
                       if path.is_file() and "__pycache__" not in path.parts)
    for path in sorted(tree.rglob("*")):
        if path.is_file() and path.relative_to(tree) not in sources:
            path.unlink()
    for each in sources:
        to = tree / each
        if to.exists() and to.read_bytes() == (ROOT / each).read_bytes():
            continue
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / each, to)


class Copy:
    def __init__(self, folder, compiler, jobs):
        self.jobs = jobs
        self.tree = folder / "tree"
        self.build_folder = folder / "build"
        self.program = self.build_folder / "tests" / PROGRAM
        self.tree.mkdir(parents=True, exist_ok=True)
        copy(self.tree)
        # Asserts stay on: they are the first to see many a fault.
        options = {"CMAKE_BUILD_TYPE": "Debug", "CMAKE_CXX_FLAGS_DEBUG": "-O1", "WISP_BUILD_TESTS": "ON",
                   "WISP_BUILD_BENCH": "OFF", "WISP_BUILD_EXAMPLES": "OFF", "WISP_INSTALL": "OFF",
                   "CMAKE_CXX_COMPILER": compiler,
                   "CMAKE_PROJECT_wisp_INCLUDE": self.tree / "cmake/precompile.cmake"}
        generator = ["-G", "Ninja"] if shutil.which("ninja") else []
        self.must(["cmake", "-S", self.tree, "-B", self.build_folder, *generator,
                   *(f"-D{name}={value}" for name, value in options.items() if value)])

    def must(self, command, what=""):
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=self.tree,
                              errors="replace")
        if done.returncode != 0:
            print(done.stdout[-6000:])
            sys.exit(f"{what or 'failed'}: {' '.join(map(str, command))}")

    def build(self, what):
        self.must(["cmake", "--build", self.build_folder, "--target", PROGRAM, "-j", str(self.jobs)], what)

    def fault(self, tags):
        """How the properties of these tags fail, nothing if they hold, and the last lines of what they say."""
        seeds = min(int(os.environ.get("WISP_TEST_SEEDS") or SEEDS_MAX), SEEDS_MAX)
        environment = {**os.environ, "WISP_TEST_SEEDS": str(seeds)}
        environment.pop("WISP_TEST_SEED", None)
        try:
            done = subprocess.run([self.program, ",".join(tags), "--abort"], stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, text=True, errors="replace", env=environment,
                                  timeout=RUN_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            return f"by no end within {RUN_SECONDS_MAX} s", ""
        if "No test cases matched" in done.stdout or "No tests ran" in done.stdout:
            sys.exit(f"no property has the tag {' or '.join(tags)}")
        if done.returncode < 0:
            return f"by its end by {signal.Signals(-done.returncode).name}", done.stdout[-3000:]
        return "by a check" if done.returncode else "", done.stdout[-3000:]

    def catches(self, mutant):
        """How; nothing if it does not."""
        before = {self.tree / name: (self.tree / name).read_text(encoding="utf-8") for name in mutant.changes}
        try:
            for path, text in before.items():
                path.write_text(mutant.applied(str(path.relative_to(self.tree)), text), encoding="utf-8")
            self.build(f"{mutant.name} does not compile")
            return self.fault([mutant.tag])[0]
        finally:
            for path, text in before.items():
                path.write_text(text, encoding="utf-8")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=Path, required=True)
    parser.add_argument("--compiler", default="")
    parser.add_argument("names", nargs="*", metavar="NAME")
    arguments = parser.parse_args()

    began = time.monotonic()
    everyone = [Mutant(path) for path in sorted(HERE.glob("*.patch"))]
    # Today, and not when its turn comes.
    for mutant in everyone:
        for name in mutant.changes:
            mutant.applied(name, (ROOT / name).read_text(encoding="utf-8"))
    mutants = choose(everyone, arguments.names)
    cores = len(os.sched_getaffinity(0))
    count = max(1, min(cores, len(mutants) // MUTANTS_A_COPY))
    os.environ.pop("CMAKE_CXX_COMPILER_LAUNCHER", None)  # a cache of compilations has no use for precompiled headers
    left = queue.SimpleQueue()
    for each in mutants:
        left.put(each)

    def work(number):
        copied = Copy(arguments.build.resolve() / str(number), arguments.compiler, max(1, cores // count))
        copied.build("the tree does not compile")
        if number == 0:
            how, said = copied.fault(sorted({each.tag for each in mutants}))
            if how:
                print(said)
                sys.exit(f"the tree itself fails, {how}: there is nothing to learn from its mutants")
            print(f"{time.monotonic() - began:6.1f} s  the tree itself passes", flush=True)
        survivors = []
        while not left.empty():
            try:
                mutant = left.get_nowait()
            except queue.Empty:
                break
            start = time.monotonic()
            how = copied.catches(mutant)
            print(f"{time.monotonic() - start:6.1f} s  {mutant.name} {mutant.tag}: {f'caught {how}' if how else 'SURVIVED'}",
                  flush=True)
            if not how:
                survivors.append(mutant.name)
        return survivors

    with concurrent.futures.ThreadPoolExecutor(count) as pool:
        survivors = [name for names in pool.map(work, range(count)) for name in names]
    if survivors:
        sys.exit(f"not caught: {', '.join(survivors)}")


if __name__ == "__main__":
    main()
