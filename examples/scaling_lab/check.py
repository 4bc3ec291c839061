#!/usr/bin/env python3
"""Runs scaling_lab and checks its table.

    check.py [--sanitized | --slow] PROGRAM

Either runs it once, of one seed, and compares nothing: without optimisation, too, it takes many times as long. Exits 1
naming each statement that does not hold.
"""
import json
import subprocess
import sys
import tempfile
from pathlib import Path

SLOW = "--sanitized" in sys.argv or "--slow" in sys.argv
faults = []


def check(holds, what):
    if not holds:
        faults.append(what)


def run(program, *arguments):
    done = subprocess.run([program, *arguments], capture_output=True, text=True, timeout=290)
    return done.returncode, done.stdout, done.stderr


def check_scenario(scenario, ours, kpa, fixed):
    check(ours["calls"] == kpa["calls"] == fixed["calls"] > 100, f"{scenario}: other calls")
    check(ours["wait_p99_ms"] <= kpa["wait_p99_ms"],
          f"{scenario}: p99 {ours['wait_p99_ms']}, KPA's {kpa['wait_p99_ms']}")
    check(ours["over_provision_s"] <= kpa["over_provision_s"],
          f"{scenario}: surplus {ours['over_provision_s']}, KPA's {kpa['over_provision_s']}")
    for each in (ours, kpa, fixed):
        check(each["workers_last"] == 0, f"{scenario}: {each['policy']} does not come to zero")
        check(each["workers_most"] <= 64, f"{scenario}: {each['policy']} beyond its bound")
    if scenario[1] in ("short", "long"):
        check(ours["workers_most"] <= 3, f"{scenario}: {ours['workers_most']} workers on two cores")
    # No flapping on calls of 100 ms: fewer than one worker in ten seconds comes or goes; where one call a second comes, and the
    # last worker goes between two of them, in five.
    if scenario[1] == "long":
        check(ours["changes_per_minute"] < (12 if scenario[0] in ("spike", "diurnal") else 6), f"{scenario}: {ours['changes_per_minute']} changes a minute")


def main():
    program = [each for each in sys.argv[1:] if not each.startswith("--")][0]
    some = ("--seeds", "1" if SLOW else "5")
    code, out, err = run(program, "--json", *some)
    check(code == 0, f"exit {code}: {err}")
    rows = {}
    for each in json.loads(out):
        rows.setdefault((each["load"], each["work"]), {})[each["policy"]] = each
    check(len(rows) == 20, f"{len(rows)} scenarios")
    for scenario, policies in rows.items():
        if SLOW:
            break
        check_scenario(scenario, *(policies[name] for name in ("target-wait", "KPA", "fixed 64")))
    if not SLOW:
        check_again(program, out)
    for arguments in (("--fast",), ("--plot",), ("--plot", "--json"), ("--seeds", "0"), ("--seeds", "3x"), ("--seeds",)):
        code, out, err = run(program, *arguments)
        check(code == 2 and not out and arguments[0] in err, f"{arguments}: exit {code}")
    for each in faults:
        print(each)
    sys.exit(1 if faults else 0)


def check_again(program, out):
    with tempfile.TemporaryDirectory() as folder:
        plot = Path(folder) / "lab.svg"
        check(run(program, "--json", "--seeds", "5", "--plot", str(plot))[1] == out, "a second run prints something else")
        text = plot.read_text(encoding="utf-8")
        check(text.count("<polyline") == 40 and text.endswith("</svg>\n"), "the picture")
    code, printed, _ = run(program, "--json", "--seeds", "1", "--plot", "/nowhere/lab.svg")
    check(code == 1 and not printed, "a picture that cannot be written is found out too late")
    with open("/dev/full", "w") as full:
        done = subprocess.run([program, "--seeds", "1"], stdout=full, stderr=subprocess.PIPE, text=True, timeout=290)
    check(done.returncode == 1 and "the output cannot be written" in done.stderr,
          f"a full disk: exit {done.returncode}, {done.stderr}")


if __name__ == "__main__":
    main()
