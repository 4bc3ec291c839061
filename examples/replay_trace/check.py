#!/usr/bin/env python3
"""Runs replay_trace on traces and checks its table against one that is counted here, and what it refuses.

    check.py [--sanitized] PROGRAM

The traces are made up, from a seed; and WISP_TRACE_DIR's, if it is set, as they are and as copies with the lines in another
order and with fewer minutes. Exits 1 naming each statement that does not hold.
"""
import csv
import json
import os
import random
import subprocess
import sys
import tempfile
import xml.etree.ElementTree
from pathlib import Path

FIXED = (10, 20, 60, 120)
KEEP, KNOWN, CHANCE, RANGE = 10, 2, 0.015, 240
NAMES = ("invocations.csv", "durations.csv", "memory.csv")
faults = []


def check(holds, what):
    if not holds:
        faults.append(what)


def kept_by_fixed(keep):
    return lambda idle, minute: minute <= keep


def kept_by_predictive(idle, minute):
    """Whether the policy keeps a function that has been idle for so many minutes, by its definition."""
    if len(idle) < KNOWN:
        return minute <= KEEP

    def likely(m):
        ended = idle.count(m)
        return m == 0 or (m <= RANGE and ended > 0 and ended >= CHANCE * sum(each >= m for each in idle))

    if minute > RANGE:
        return False
    before = next(m for m in range(minute, -1, -1) if likely(m))
    after = next((m for m in range(minute, min(RANGE, before + KEEP + 1) + 1) if likely(m)), None)
    return after is not None and (after == before or after - before - 1 <= KEEP)


def measure(calls, kept):
    """Cold and warm minutes, minute by minute as the words of the yardstick have it."""
    cold = warm = 0
    last, idle, states = None, [], {}
    for minute, count in enumerate(calls):
        since = None if last is None else minute - last
        if since is not None and since not in states:
            states[since] = kept(idle, since)
        if count > 0:
            warm += 1
            cold += last is None or not states[since]
            if last is not None:
                idle.append(since)
            last, states = minute, {}
        elif last is not None:
            warm += states[since]
    return cold, warm


def table(traces):
    policies = {f"fixed {keep} min": kept_by_fixed(keep) for keep in FIXED}
    policies["predictive"] = kept_by_predictive
    rows = {}
    for name, kept in policies.items():
        each = [measure(calls, kept) for calls in traces]
        parts = {"all": each, "odd lines": each[0::2], "even lines": each[1::2]}
        for part, some in parts.items():
            rows[name, part] = (sum(cold for cold, _ in some), sum(warm for _, warm in some))
    return rows


def run(program, *arguments):
    done = subprocess.run([program, *map(str, arguments)], capture_output=True, text=True, timeout=110)
    return done.returncode, done.stdout, done.stderr


def write(folder, tables):
    for name, rows in zip(NAMES, tables):
        with open(folder / name, "w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows(rows)


def made_up(seed, functions, minutes):
    """Functions by the clock, by chance, in bursts, and one that is never called."""
    rng = random.Random(seed)
    calls = [["HashFunction", "HashApp", "HashOwner", *(f"minute_{m + 1}" for m in range(minutes))]]
    durations = [["HashFunction", "HashApp", "HashOwner", "Count", "Average", "Minimum", "Maximum",
                  *(f"percentile_Average_{p}" for p in (0, 1, 25, 50, 75, 99, 100))]]
    memory = [["HashApp", "HashOwner", "SampleCount", "AverageAllocatedMb",
               *(f"AverageAllocatedMb_pct{p}" for p in (1, 5, 25, 50, 75, 95, 99, 100))]]
    for n in range(functions):
        row = [0] * minutes
        kind, minute = n % 4, rng.randrange(30)
        while kind < 3 and minute < minutes:
            row[minute] += rng.randint(1, 3)
            minute += {0: 15 + n, 1: 1 + int(rng.expovariate(1 / 20)), 2: rng.choice((1, 1, 1, 90))}[kind]
        calls.append([f"function{n}", f"app{n}", "owner", *row])
        at = sorted(rng.randint(1, 5000) for _ in range(7))
        durations.append([f"function{n}", f"app{n}", "owner", sum(row), at[3], at[0], at[6], *at])
        memory.append([f"app{n}", "owner", 1, rng.randint(20, 400), *[100] * 8])
    return calls, durations, memory


def check_table(program, folder, rows, what):
    code, out, err = run(program, folder, "--calls-max", 0, "--json")
    check(code == 0, f"{what}: exit {code}: {err}")
    if code != 0:
        return
    counted = table([[int(cell) for cell in row[3:]] for row in rows[1:]])
    for each in json.loads(out)["yardstick"]:
        expected = counted.get((each["policy"], each["functions"]))
        check(each["policy"] == "percentiles" or expected == (each["cold"], each["warm"]),
              f"{what}: {each}, counted here {expected}")


def check_copies(program, tables, what):
    rng = random.Random(7)
    invocations, durations, memory = tables
    permuted = [invocations[0], *rng.sample(invocations[1:], len(invocations) - 1)]
    width = 3 + (len(invocations[0]) - 3) * 2 // 3
    truncated = [row[:width] for row in invocations]
    for words, rows in (("as it is", invocations), ("permuted", permuted), ("truncated", truncated)):
        with tempfile.TemporaryDirectory() as name:
            write(Path(name), (rows, durations, memory))
            check_table(program, name, rows, f"{what}, {words}")


def check_days(program, tables):
    with tempfile.TemporaryDirectory() as name:
        write(Path(name), tables)
        _, out, _ = run(program, name, "--json", "--seed", 3)
        check(out == run(program, name, "--json", "--seed", 3)[1], "the same seed prints something else")
        fixed, predictive = json.loads(out)["days"]
        calls = sum(int(cell) for row in tables[0][1:] for cell in row[3:])
        check(fixed["calls"] == predictive["calls"] == calls, f"{calls} calls, and it made {fixed['calls']}")
        check(fixed["ahead"] == 0, "a fixed policy built ahead")
        check(predictive["ahead"] > 0, "the predictive one did not")
        check(predictive["cold"] < fixed["cold"], f"cold starts {fixed['cold']}, predictive {predictive['cold']}")
        check(fixed["bills"] == predictive["bills"], "the bill depends on the policy")
        check(len(fixed["bills"]) == 5 and all(float(each["cost"]) > 0 for each in fixed["bills"]), "bills")
        calls_max = min(sum(map(int, row[3:])) for row in tables[0][1:] if any(map(int, row[3:])))
        some = json.loads(run(program, name, "--json", "--calls-max", calls_max)[1])["days"][0]
        check(0 < some["functions"] < len(tables[0]) - 1, "--calls-max leaves nothing out")
        picture = Path(name) / "day.svg"
        code, _, err = run(program, name, "--json", "--plot", picture)
        check(code == 0 and picture.read_text().count("<polyline") == 3, f"--plot: exit {code}, {err}")
        xml.etree.ElementTree.fromstring(picture.read_text())
        code, _, err = run(program, name, "--json", "--plot", Path(name) / "no" / "day.svg")
        check(code == 1 and "cannot be written" in err, f"--plot in no folder: exit {code}, {err}")
        with open("/dev/full", "w") as full:
            for how in ((), ("--json",)):
                done = subprocess.run([program, name, "--calls-max", "0", *how], stdout=full, stderr=subprocess.PIPE, text=True)
                check(done.returncode == 1 and "the output cannot be written" in done.stderr,
                      f"a full disk: exit {done.returncode}, {done.stderr}")


def check_too_many(program, tables):
    """A function with more calls in flight than there are workers is named in both kinds of output, and its day costs nothing."""
    invocations, durations, memory = ([list(row) for row in rows] for rows in tables)
    minutes = len(invocations[0]) - 3
    invocations = [invocations[0], ['a "busy" one', "app0", "owner", 20_000, *[0] * (minutes - 1)]]
    durations = [durations[0], ['a "busy" one', "app0", "owner", 20_000, *[60_000] * 10]]
    with tempfile.TemporaryDirectory() as name:
        write(Path(name), (invocations, durations, memory))
        for file in (Path(name) / each for each in NAMES):  # the example's CSV has no quotes
            file.write_text(file.read_text().replace('"a ""busy"" one"', 'a "busy" one'))
        code, out, err = run(program, name, "--json")
        check(code == 0, f"too many calls: exit {code}: {err}")
        for day in json.loads(out)["days"] if code == 0 else ():
            check(day["too_many"] == ['a "busy" one'] and day["calls"] == 0, f"too many calls: {day}")
        code, out, err = run(program, name)
        check(code == 0 and 'left out: a "busy" one' in out, f"too many calls: exit {code}: {err or out}")
        check("a simulated call took" not in out, "what a call of none took")


def check_memory(program, tables):
    """Days of the same functions one after the other take no more of it than one does."""
    def peak_kb(days):
        invocations, durations, memory = tables
        longer = [row[:3] + row[3:] * days for row in invocations[1:]]
        head = invocations[0][:3] + [str(n + 1) for n in range(len(longer[0]) - 3)]
        with tempfile.TemporaryDirectory() as name:
            write(Path(name), ([head, *longer], durations, memory))
            child = subprocess.Popen([program, name], stdout=subprocess.DEVNULL)
            _, status, usage = os.wait4(child.pid, 0)
            check(status == 0, f"{days} days: status {status}")
            return usage.ru_maxrss

    one, eight = peak_kb(1), peak_kb(8)
    check(eight < 1.3 * one, f"one day took {one} kB at most, eight of them {eight}")


def check_refusals(program, tables):
    def refused(change, words, what):
        copies = [[list(row) for row in rows] for rows in tables]
        change(copies)
        with tempfile.TemporaryDirectory() as name:
            write(Path(name), copies)
            code, out, err = run(program, name)
            check(code == 2 and words in err and not out, f"{what}: exit {code}, {err or out}")

    def set_cell(table_, row, column, text):
        return lambda copies: copies[table_][row].__setitem__(column, text)

    refused(lambda copies: copies[0][5].pop(), "invocations.csv:6: ", "a torn line")
    refused(set_cell(0, 3, 9, "many"), "invocations.csv:4: column 10 is 'many'", "a word")
    refused(set_cell(0, 3, 9, "-1"), "column 10 is '-1'", "calls below zero")
    refused(set_cell(0, 3, 0, "unknown"), "durations.csv has no function unknown", "a function without durations")
    refused(set_cell(0, 3, 1, "unknown"), "memory.csv has no app unknown", "an app without memory")
    refused(set_cell(1, 2, 9, "999999"), "durations.csv:3: the percentiles of its durations fall", "percentiles")
    refused(set_cell(2, 2, 3, "nan"), "memory.csv:3: column 4 is 'nan'", "no number")
    refused(set_cell(0, 0, 1, "App"), "invocations.csv:1: column 2 is 'App', it must be HashApp", "another schema")
    refused(lambda copies: copies[0].__delitem__(slice(1, None)), "has no functions", "an empty trace")
    for number, torn in enumerate(NAMES):
        with tempfile.TemporaryDirectory() as name:
            write(Path(name), tables)
            text = (Path(name) / torn).read_text()
            (Path(name) / torn).write_text(text.rstrip("\r\n")[:-1])
            code, out, err = run(program, name)
            check(code == 2 and f"{torn}:{len(tables[number])}: the last line ends without a newline: torn?" in err and not out,
                  f"{torn} torn in its last number: exit {code}, {err or out}")
    for arguments, words in (((), "which folder?"), (("/nowhere",), "/nowhere/memory.csv cannot be read"),
                             (("x", "--chance", "2"), "--chance cannot be '2'"), (("x", "--seed"), "--seed cannot be ''"),
                             (("x", "--fast"), "there is no option --fast"), (("x", "y"), "two folders"),
                             (("x", "--plot"), "--plot cannot be ''"),
                             (("x", "--plot", "--json"), "--plot cannot be '--json'"),
                             (("x", "--plot", "p", "--calls-max", "0"), "--plot draws what --calls-max 0 leaves out")):
        code, out, err = run(program, *arguments)
        check(code == 2 and words in err and not out, f"{arguments}: exit {code}, {err or out}")


def main():
    program = [each for each in sys.argv[1:] if not each.startswith("--")][0]
    tables = made_up(1, 16, 600)
    for seed in (2, 3):
        check_copies(program, made_up(seed, 24, 1440), f"made up {seed}")
    check_days(program, tables)
    check_too_many(program, tables)
    check_refusals(program, tables)
    if "--sanitized" not in sys.argv:
        check_memory(program, tables)
    given = os.environ.get("WISP_TRACE_DIR")
    if given:
        real = []
        for name in NAMES:
            with open(Path(given) / name, newline="", encoding="utf-8") as file:
                real.append(list(csv.reader(file)))
        check_copies(program, real, given)
    else:
        print("WISP_TRACE_DIR is not set: only traces that were made up are checked")
    for each in faults:
        print(each)
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
