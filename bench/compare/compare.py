#!/usr/bin/env python3
"""Runs wisp and its peers by turns, as separate processes, and judges the ratios. See bench/README.md.

  compare.py [--quick] [--only B,F] [--json] [--rounds 9]
"""
import argparse, json, os, pathlib, random, statistics, subprocess, sys, time

import rows as table_of_rows

HERE = pathlib.Path(__file__).resolve().parent
# Of packages that may be missing; json is ours, and needs one.
PEERS = ("asio", "signals2", "tbb", "moodycamel", "libuv", "json", "nlohmann")
FIELDS = ("question", "variant", "ours_ns", "peer", "peer_ns", "ratio", "target", "pass", "explained", "error")


def bound(ratios, upper=False, draws=2000):
    """The lower, or upper, 95 % bootstrap bound of the median."""
    source = random.Random(1)
    medians = sorted(statistics.median(source.choices(ratios, k=len(ratios))) for _ in range(draws))
    return medians[int(draws * (0.95 if upper else 0.05))]


def chosen(rows, only):
    prefixes = [each.strip() for each in only.split(",") if each.strip()]
    return [row for row in rows if not prefixes or any(row[0].startswith(each) for each in prefixes)]


def run(program, workload, quick, timeout):
    path = HERE / f"compare_{program}"
    if not path.exists():
        return "absent"
    try:
        done = subprocess.run([path, workload] + ["--quick"] * quick, capture_output=True, text=True, timeout=timeout)
        return json.loads(done.stdout) if done.returncode == 0 else f"exit {done.returncode}: {done.stderr.strip()[:80]}"
    except subprocess.TimeoutExpired:
        return f"no end within {timeout:.0f} s"
    except (ValueError, OSError) as error:
        return str(error)


def measure(rows, rounds, quick):
    """{question: {(program, workload): [outcome of each round]}}; an error stands for all rounds."""
    jobs = {}
    for question, _, ours, _, peer, _, _ in rows:
        for each in (ours, peer):
            if isinstance(each, tuple):
                jobs.setdefault(question, {})[each[:2]] = []
    end = time.monotonic() + (50 if quick else 1e9)
    for turn in range(rounds):
        for question, runs in jobs.items():
            order = list(runs)
            shift = turn % len(order)
            for job in order[shift:] + order[:shift]:
                if isinstance(runs[job], str) or (job[1] == "D3.idle" and turn >= (1 if quick else 3)):
                    continue
                left = end - time.monotonic()
                if left <= 0:
                    runs[job] = runs[job] or "no time left"
                    continue
                outcome = run(*job, quick, min(left + 2, 5 if quick else 180))
                runs[job] = outcome if isinstance(outcome, str) else runs[job] + [outcome]
    return jobs


def judge(row, runs, explained):
    question, variant, ours, name, peer, target, kind = row
    result = dict.fromkeys(FIELDS) | {"question": question, "variant": variant, "peer": name, "target": target, "kind": kind}
    result["explained"] = explained.get(question)
    sides = []
    for each in (ours, peer):
        found = runs[each[:2]] if isinstance(each, tuple) else None
        if isinstance(found, str):
            return result | {"error": f"{each[0]}: {found}", "pass": None if found == "absent" else False}
        sides.append([float(each)] * 99 if found is None else [outcome[each[2]] for outcome in found])
    pairs = [(a, b) for a, b in zip(*sides)]
    ratios = [b / max(a, 1e-9) if kind == "least" else a / max(b, 1e-9) for a, b in pairs]
    if not ratios:
        return result | {"error": "not one whole round", "pass": False}
    result |= {"ours_ns": statistics.median(a for a, _ in pairs), "peer_ns": statistics.median(b for _, b in pairs),
               "ratio": statistics.median(ratios)}
    spread = statistics.quantiles(ratios, n=4) if len(ratios) > 1 else [ratios[0]] * 3
    result |= {"p25": spread[0], "p75": spread[2], "rounds": len(ratios)}
    if target is not None:
        result["pass"] = bound(ratios, True) >= target if kind == "least" else bound(ratios) <= target
    return result


def worse(each):
    """Whether the median misses the target that the bound reaches: the spread decided."""
    least = each["kind"] == "least"
    return each["ratio"] < each["target"] if least else each["ratio"] > each["target"]


def show(results):
    print(f"{'':4} {'variant':17} {'peer':42} {'ours':>10} {'peer':>10} {'ratio':>7} {'p25-p75':>13} {'target':>6}")
    for each in results:
        head = f"{each['question']:4} {each['variant']:17} {each['peer']:42}"
        if each["error"]:
            print(head, each["error"])
            continue
        verdict = {True: "pass", False: "explained" if each["explained"] else "MISS", None: ""}[each["pass"]]
        verdict += "?" * bool(each["pass"] and worse(each))
        print(f"{head} {each['ours_ns']:10.1f} {each['peer_ns']:10.1f} {each['ratio']:7.3f} "
              f"{each['p25']:6.3f}-{each['p75']:.3f} {each['target'] or '-':>6} {verdict}")


def faults(results):
    """What keeps the results from being whole: any error, but for a peer that is not here."""
    found = [f"no {field}: {each}" for each in results for field in FIELDS if field not in each]
    allowed = {f"{program}: absent" for program in PEERS}
    found += [f"{each['question']} {each['variant']} {each['peer']}: {each['error']}" for each in results
              if each.get("error") and each["error"] not in allowed]
    return found if results else ["no results"]


def self_test():
    assert bound([1.0] * 9) == 1.0 and bound([1, 2, 3, 4, 5]) <= 3 <= bound([1, 2, 3, 4, 5], True)
    rows = table_of_rows.table(2)
    assert {row[0] for row in chosen(rows, "B,F")} == {"B1", "B2", "F"} and chosen(rows, "") == rows
    row = ("B1", "", ("ours", "B1", "ns"), "x", ("x", "B1", "ns"), 0.5, "most")
    runs = {("ours", "B1"): [{"ns": 1.0}] * 3, ("x", "B1"): [{"ns": 4.0}] * 3}
    assert not worse(judge(row, runs, {})) and worse(judge(row[:5] + (0.2, "most"), runs, {}))
    assert judge(row, runs, {})["pass"] is True and judge(row[:6] + ("least",), runs, {})["ratio"] == 4
    for program, outcome, well in (("tbb", [{"ns": 4.0}], True), ("tbb", "absent", True), ("floors", "absent", False),
                                   ("ours", "absent", False), ("tbb", "exit 1: no", False)):
        given = row[:4] + ((program, "B2", "ns"),) + row[5:]
        assert well == (not faults([judge(given, runs | {(program, "B2"): outcome}, {})])), (program, outcome)
    assert faults([]) and faults([{}])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for flag in ("--quick", "--json", "--self-test", "--check-shape"):
        parser.add_argument(flag, action="store_true")
    parser.add_argument("--only", default="")
    parser.add_argument("--rounds", type=int)
    asked = parser.parse_args()
    if asked.self_test:
        return self_test()
    rows = chosen(table_of_rows.table(len(os.sched_getaffinity(0))), asked.only)
    runs = measure(rows, asked.rounds or (3 if asked.quick else 9), asked.quick)
    explained = json.loads((HERE / "explained.json").read_text())
    results = [judge(row, runs[row[0]], explained) for row in rows]
    if asked.check_shape:
        for each in (found := faults(json.loads(json.dumps(results)))):
            print(each)
        return 1 if found else 0
    if asked.json:
        print(json.dumps(results, indent=1))
    else:
        show(results)
    return 0


if __name__ == "__main__":
    sys.exit(main())
