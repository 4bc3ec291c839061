"""The rows of bench/compare: what is measured against whom, and the target.

A row: question, variant, ours, peer's name, peer, target, kind. Both sides are (program, workload, figure); a peer may also
be a number. kind "most": ours / peer is at most the target; "least": peer / ours, the throughputs' ratio, is at least that.
A target of None is for information.
"""


def pools(question, targets, variant="", ours=None, figure="ns"):
    names = {"moodycamel": "moodycamel", "asio": "Boost.Asio", "tbb": "TBB enqueue", "floors": "mutex+deque+condvar"}
    workload = question
    return [(question, variant, ("ours", ours or question, figure), name, (program, workload, figure),
             targets.get(program), "most") for program, name in names.items()]


def every(target):
    return {program: target for program in ("moodycamel", "asio", "tbb", "floors")}


def fixed(cores, noise):
    """Beside as many workers as there are cores, and one fewer and more: one of these is the best fixed number."""
    suffix = ".noisy" if noise else ""
    rows = [("K2", noise or "alone", ("ours", "K2" + suffix, "ns"), f"fixed pool of {n}",
             ("ours", f"K2{suffix}.fixed{n}", "ns"), 0.95, "least")
            for n in sorted({max(1, cores - 1), cores, cores + 1})]
    return rows


def table(cores):
    def row(question, workload, name, program, peer, target, variant="", figure="ns", kind="most"):
        return (question, variant, ("ours", workload, figure), name, (program, peer, figure), target, kind)

    rows = [
        row("A1", "A1", "std::function, 2 clock readings, histogram", "floors", "A1", 0.70),
        row("A1", "A1.2T", "wisp on one thread", "ours", "A1", 1.05, "two threads"),
        row("A2", "A2", "std::function", "floors", "A2", 3),
        row("A3", "A3", "shared_mutex, map, 2 clock readings", "floors", "A3", 0.65),
        row("A3", "A3.scattered", "shared_mutex, map, 2 clock readings", "floors", "A3.scattered", None, "scattered"),
    ]
    rows += pools("B1", {"moodycamel": 0.5, "asio": 0.25, "tbb": 0.15})
    rows += [row("B1", "B1", "busy-spin ring", "floors", "B1.ring", None),
             row("B1", "B1.shared", "wisp without tenants", "ours", "B1", None, "two tenants")]
    rows += pools("B2", {"moodycamel": 0.6, "asio": 0.25, "tbb": 0.15})
    rows += pools("C", {"tbb": 0.15, "asio": 0.1})
    rows += pools("C", {}, "pool_only", "C.pool_only")
    rows += [row("C", "C.shared", "wisp without tenants", "ours", "C", None, "two tenants")]
    rows += pools("D1", every(0.3), "inline p50", figure="p50") + pools("D1", every(0.5), "inline p99", figure="p99")
    rows += pools("D1", every(1.5), "inline CPU", figure="cpu_ns")
    for figure, target in (("p50", 0.3), ("p99", 1.5), ("cpu_ns", 1.5)):
        rows += pools("D1", every(target), f"pool_only {figure}", "D1.pool_only", figure)
    rows += pools("D2", every(1.05), "p50", figure="p50") + pools("D2", {"tbb": 1.5}, "p99", figure="p99")
    rows += pools("D2", every(0.1), "inline p50", "D2.inline", "p50")
    rows += pools("D3", {"asio": 1.1}, "CPU", figure="cpu_ns")
    rows += [("D3", "idle wakeups", ("ours", "D3.idle", "wakeups"), "0.1 a second", 0.1, 1, "most"),
             row("D3", "D3.idle", "sleeping process", "floors", "D3.idle", 1, "idle CPU")]
    rows += [row("E", "E", "TBB task_group", "tbb", "E.group", 0.3)] + pools("E", {})
    rows += pools("F", {"moodycamel": 0.45, "asio": 0.25})
    for n, signals, vector in ((1, None, None), (8, 0.12, None), (64, None, 1.1)):
        rows += [row(f"G{n}", f"G{n}", "Signals2", "signals2", f"G{n}", signals),
                 row(f"G{n}", f"G{n}", "vector of std::function", "floors", f"G{n}", vector)]
    # Each subscriber with a function of its own.
    rows += [row(f"G{n}", f"G{n}.many", "vector of std::function", "floors", f"G{n}", None, "many functions")
             for n in (8, 64)]
    rows += [row("G8", "G8.many", "Signals2", "signals2", "G8", None, "many functions")]
    # The figure is the time in which each thread publishes once: two of these against one.
    rows += [("G2T", "", ("ours", "G8.2T", "ns"), "wisp on one thread", ("ours", "G8", "ns"), 0.9, "least"),
             row("GD", "GD", "Signals2", "signals2", "G8", 0.7)]
    for question, target in (("H1", 2), ("H2", 9)):
        rows += [row(question, question, "unordered_map lookup", "floors", "H", target),
                 row(question, question + ".2T", "wisp on one thread", "ours", question, 1.05, "two threads"),
                 row(question, question + ".2T", "unordered_map, two threads", "floors", "H.2T", None, "two threads")]
    rows += [row("I1", "I1", "Boost.Asio", "asio", "I1", 0.1), row("I1", "I1", "libuv", "libuv", "I1", 0.06),
             row("I2", "I2", "Boost.Asio", "asio", "I2", 0.35), row("I2", "I2", "libuv", "libuv", "I2", None),
             row("J1", "J1", "bare thread", "floors", "J", 1.25), row("J2", "J2", "bare thread", "floors", "J", 0.35),
             ("K1", "", ("ours", "K1", "ns"), "the ideal", 1e7 / 64, 1.25, "most")]
    rows += fixed(cores, "") + fixed(cores, "noisy")
    # Ours with allocations counted, against the same program without.
    rows += [("alloc_meter", what, ("alloc_meter", workload, "ns"), "wisp without it", ("allocating", workload, "ns"),
              None, "most") for what, workload in (("warm call", "call"), ("call that allocates", "allocating_call"),
                                                   ("new and delete", "pair"))]
    rows += [("K2", "workers at most", ("ours", "K2", "peak"), "cores + 1", cores + 1, 1, "most"),
             ("L", "pending", ("ours", "L", "ns"), "128 bytes a post", 128, 1, "most"),
             ("L", "drained", ("ours", "L", "left"), "a tenth of that", 12.8, 1, "most"),
             ("M", "30 patterns", ("json", "M", "ns"), "nlohmann::json, parse only", ("nlohmann", "M", "ns"), 0.5, "most"),
             ("M", "parse only", ("json", "M.parse", "ns"), "nlohmann::json, parse only", ("nlohmann", "M", "ns"), None,
              "most")]
    return rows
