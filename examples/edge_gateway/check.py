#!/usr/bin/env python3
"""Runs edge_gateway and checks what it says of itself, and what it refuses.

    check.py [--sanitized] PROGRAM [ARGUMENT...]       the arguments include --json

--sanitized leaves out the two statements that a sanitizer makes meaningless: how the process's CPU divides, because the
sanitizer's own threads and the work that it adds around each measurement belong to nobody, and that workers outnumber the
cores, because under its load the calls that compute may never leave room for those that sleep. Exits 1 naming each
statement that does not hold.
"""
import json
import os
import signal
import subprocess
import sys
import tempfile
from decimal import Decimal

TIMEOUT_S = 100
faults = []


def check(holds, what):
    if not holds:
        faults.append(what)


def check_shape(report):
    for each in report["functions"]:
        for key in ("name", "calls", "attempts", "errors", "wait_ns", "run_ns", "cpu_ns", "cost"):
            check(key in each, f"functions[].{key} is missing")
        for histogram in (each["wait_ns"], each["run_ns"]):
            p50, p99 = histogram["p50"], histogram["p99"]
            check((p50 is None) == (each["calls"] == 0), f"{each['name']}: {each['calls']} calls, p50 {p50}")
            check(p50 is None or p50 <= p99, f"{each['name']}: p50 {p50} is above p99 {p99}")
        check(each["attempts"] >= each["calls"], f"{each['name']}: fewer attempts than calls")
    names = {each["name"] for each in report["functions"]}
    for name in ("ingest", "detect", "alert", "archive", "report"):
        check(name in names, f"no function {name}")
    check(len(report["bills"]) >= 4, "fewer than four bills")
    check((report["burst_events_per_second"] or 0) > 0, f"the burst reached {report['burst_events_per_second']} a second")


def check_events(report):
    events = report["events"]
    ends = events["done"] + events["dead"] + events["expired"] + events["cancelled"]
    check(events["accepted"] == ends, f"accepted {events['accepted']} is not what ended, {ends}")
    check(events["accepted"] > 1000, f"only {events['accepted']} deliveries")
    calls = {each["name"]: each["calls"] for each in report["functions"]}
    check(calls["detect"] == calls["archive"], "detect and archive see the same windows")
    check(calls["ingest"] // 10 >= calls["detect"], "more windows than readings allow")


def check_bills(report):
    for bill in report["bills"]:
        total = sum((Decimal(line["cost"]) for line in bill["lines"]), Decimal(0))
        check(total == Decimal(bill["total"]), f"{bill['tariff']}: lines {total}, total {bill['total']}")
        check(Decimal(bill["total"]) > 0, f"{bill['tariff']} costs nothing")
    costs = sum(Decimal(each["cost"]) for each in report["functions"])
    check(costs == Decimal(report["bills"][0]["total"]), f"the functions cost {costs}, which is no bill's total")


def check_cpu(report):
    functions = sum(each["cpu_ns"] for each in report["functions"])
    unattributed, host = report["unattributed_cpu_ns"], report["host_cpu_ns"]
    if unattributed is None or host is None:
        check(False, f"unattributed is {unattributed}, host is {host}")
        return
    share = (functions + unattributed + host) / report["process_cpu_ns"]
    check(abs(share - 1) <= 0.05, f"functions {functions} + unattributed {unattributed} + host {host} = {share:.3f} of the "
          f"process's {report['process_cpu_ns']}")


def check_report(report, sanitized):
    check_shape(report)
    check_events(report)
    check_bills(report)
    check(report["workers"]["at_end"] == 0, f"{report['workers']['at_end']} workers at the end")
    if sanitized:
        return
    check_cpu(report)
    cores = len(os.sched_getaffinity(0))
    check(report["workers"]["peak"] > cores, f"{report['workers']['peak']} workers at most on {cores} cores")


def check_refusals(program):
    for arguments in (["--seconds"], ["--seconds", "0"], ["--seconds", "3601"], ["--seconds", "2s"], ["--sceonds", "2"]):
        refused = subprocess.run([program, *arguments], capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
        check(refused.returncode == 2, f"{arguments} ended with {refused.returncode}")
        check(refused.stdout == "" and "usage:" in refused.stderr, f"{arguments}: no usage on the error output alone")
    refused = subprocess.run([program, "--seconds", "-1"], capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    check("1 to 3600" in refused.stderr, "a bad --seconds does not name the limits")


def check_interrupt(program, environment):
    """A run of an hour ends soon after a signal, with its summary, and no word of the burst that it never came to."""
    with subprocess.Popen([program, "--seconds", "3600"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          env=environment) as run:
        run.stdout.readline()  # it is at work
        run.send_signal(signal.SIGTERM)
        try:
            output, errors = run.communicate(timeout=TIMEOUT_S)
        except subprocess.TimeoutExpired:
            run.kill()
            check(False, "a signal does not end it")
            return
    check(run.returncode == 0, f"after a signal it ended with {run.returncode}: {errors}")
    check("Deliveries:" in output, "after a signal there is no summary")
    check("the burst reached - a second" in output, "after a signal there is a burst that never was")


def main():
    arguments = sys.argv[1:]
    sanitized = arguments[:1] == ["--sanitized"]
    if sanitized:
        arguments = arguments[1:]
    # It may write to the temporary directory only, and leaves nothing there.
    with tempfile.TemporaryDirectory() as scratch:
        environment = {**os.environ, "TMPDIR": scratch}
        run = subprocess.run(arguments, capture_output=True, text=True, timeout=TIMEOUT_S, check=False, cwd="/proc",
                             env=environment)
        if run.returncode != 0:
            sys.exit(f"check.py: it ended with {run.returncode}: {run.stderr}")
        check_report(json.loads(run.stdout), sanitized)
        check_interrupt(arguments[0], environment)
        check(not os.listdir(scratch), f"it left behind {os.listdir(scratch)}")
    check_refusals(arguments[0])
    for fault in faults:
        print(f"check.py: {fault}")
    sys.exit(1 if faults else 0)


main()
