#!/usr/bin/env python3
"""The house rules of the source tree, checked.

    tidy.py [ROOT]         prints each fault as path:line: [rule] what; exits 1 if there is one
    tidy.py --self-test    shows that each rule fires on a tree that breaks it, and that a clean one passes

Reads text only: no compiler, nothing but Python's standard library.
"""

import re
import sys
from pathlib import Path

# The floors. A header includes strictly lower floors, and on its own floor only what its arrow allows. Headers in
# include/wisp/<floor>/detail/ belong to the floor, and every header of the floor may include them; such a header stands
# here only if it needs an arrow. A floor's name is its folder below include/wisp; "." is include/wisp itself. Folders with
# the same number do not see each other.
FLOORS = """
0 base
    config
    agent
    allocations
    type_name
    mutex
    random
    callable
    status → config
    base64 → status
    bytes
    each
    enums → each
    fields → each, enums, type_name
    value
    writer
    schema → writer
    reader → status, value
    codec → enums, fields, reader, schema, status, writer
    codec_containers → codec, fields
    codec_chrono → codec
    payload → bytes, fields
    money → fields
    clock → mutex
    park → clock, mutex
    id → clock, random
    per_thread → mutex
    text
    readers → per_thread, text
1 model
    event
    policy
    keep_alive
    traceparent
    batch → event
    context → event, traceparent
    detail/definition → context, policy
    function → batch, context, policy
    stateful → function
    declare → function
    registry → function
    pattern → event
    topic_index → pattern
    content_pattern → pattern
    content_set → content_pattern
    zone
    cron → zone
    tariff
    tenant
    settings
2 engine
    executor
    scaling
    kpa → scaling
    pool → executor, scaling
    timer → executor
    store
    metrics
    meter → metrics
    focus → meter
    budget
    cost_band
    trace
    detail/ledger → meter, metrics
    detail/shard → meter, metrics
    detail/span → meter
    detail/metered_threads → executor
3 service
    dead_letters
    call_options
    event_stats
    idempotency
    record
    detail/idempotency → call_options, idempotency
    detail/invoker_parts → idempotency
    detail/observers → record
    invoker → call_options, dead_letters, event_stats, idempotency, record
    pending
    bus → invoker
    schedule → invoker
    stream → invoker
    workflow → invoker
    pipeline → stream
4 .
    zones
    runtime → zones
    cost_watch → runtime
    wisp → cost_watch, runtime
5 sim
    faults
    world → faults
5 alloc_meter
    allocations
5 json
    json
    cloud_event → json
    detail/cloud_event_attributes → cloud_event
    event_mapping → cloud_event
6 http
     address
     principal
     api_keys → principal
     jwt → principal
     webhook → principal
     message → principal
     detail/stream
     detail/endpoint → message
     cloud_event_headers → message
     cloud_event_route
     gateway → cloud_event_route, message
     client → address, message
"""

FILE_LINES = 400      # a file has fewer
FUNCTION_LINES = 70   # a body, from its opening to its closing brace, has fewer
LINE_COLUMNS = 100    # a line has at most so many
THREADS = ("value", "any", "one-at-a-time", "pump thread", "see methods")
TREES = ("include", "src", "tests", "examples", "bench")

# Of the library's files those with thread-local variables: what is in them a simulator puts aside with each of its
# fibers (service/detail/thread_locals.hpp), or it says there why not.
THREAD_LOCAL = {
    "include/wisp/base/agent.hpp", "src/base/agent.cpp",
    "include/wisp/base/allocations.hpp", "src/base/allocations.cpp",
    "include/wisp/base/park.hpp", "src/base/park.cpp",
    "include/wisp/base/per_thread.hpp",
    "include/wisp/engine/detail/ledger.hpp", "src/engine/ledger.cpp",
    "src/engine/worker.cpp",
    "include/wisp/service/detail/frame.hpp", "src/service/frame.cpp",
    "include/wisp/service/detail/function_state.hpp", "src/service/function_state.cpp",
    "include/wisp/service/detail/idempotency.hpp", "src/service/idempotency.cpp",
    "src/sim/fiber.cpp",
}

# Besides std, Abseil, fmt and wisp itself: what Linux and its compilers bring.
SYSTEM_HEADER = re.compile(
    r"(sys|linux|asm|net|netinet|arpa)/.*"
    r"|(cpuid|dirent|dlfcn|errno|fcntl|immintrin|poll|pthread|sched|signal|time|unistd|x86intrin)\.h")
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')
NAMESPACE = re.compile(r"(?:inline )?namespace ?([^{]*?) ?\{$")
TYPE = re.compile(r"(?:class|struct|union|enum|enum class) (?:alignas\(\w+\) |\[\[.*\]\] )?(\w+(?:::\w+)*)(?: final)?(?: ?(?::(?!:)|{)|$)")
TODO = re.compile(r"\bTODO\b(?!\((perf|port|cleanup)\): \S)")


class Floors:
    """The table above, parsed. Headers are named as in an #include, without wisp/ and .hpp: "base/clock"."""

    def __init__(self, text):
        self.number = {}   # folder → floor
        self.allowed = {}  # header → headers of its own folder that it may include
        folder = None
        for line in filter(str.strip, text.splitlines()):
            if not line.startswith(" "):
                number, folder = line.split()
                self.number[folder] = int(number)
                continue
            name, _, arrow = (part.strip() for part in line.partition("→"))
            self.allowed[self.join(folder, name)] = {
                self.join(folder, other.strip()) for other in arrow.split(",") if other.strip()}

    @staticmethod
    def join(folder, name):
        return name if folder == "." else f"{folder}/{name}"

    @staticmethod
    def folder(header):
        """ "base/clock" and "base/detail/x" → "base"; "runtime" and "detail/x" → "." """
        first, slash, _ = header.partition("/")
        return first if slash and first != "detail" else "."

    @staticmethod
    def is_detail(header):
        return "detail" in header.split("/")[:-1]

    def refusal(self, header, included):
        """Why `header` may not include `included`, or None."""
        mine, theirs = self.folder(header), self.folder(included)
        if theirs not in self.number:
            return f"{included} is on no floor"
        if self.number[theirs] > self.number[mine]:
            return f"{included} is on a higher floor"
        if self.number[theirs] < self.number[mine] or self.is_detail(included) and mine == theirs:
            return None
        if included in self.allowed.get(header, ()):
            return None
        return f"no arrow leads from {header} to {included}"


def blank(text):
    """The code alone: comments, literals and preprocessor lines become spaces, line breaks stay."""
    token = re.compile(
        r'//[^\n]*|/\*.*?\*/'
        r'|R"(?P<raw>[^()\\\s]{0,16})\(.*?\)(?P=raw)"'
        r'|"(?:\\.|[^"\\\n])*"'
        r"|(?<![0-9a-fA-F])'(?:\\.|[^'\\\n])*'"  # not the separator in 1'000
        r"|^[ \t]*#(?:\\\n|[^\n])*",
        re.DOTALL | re.MULTILINE)

    def spaces(match):
        kept = re.sub(r"[^\n]", " ", match.group())
        return '""' + kept[2:] if match.group()[0] in "\"'R" else kept  # a literal is still an operand
    return token.sub(spaces, text)


def opens_function(head):
    """Whether a brace after `head`, all code since the last ; { or }, opens a function's or a lambda's body."""
    head = re.sub(r"\[\[.*?\]\]", " ", head, flags=re.DOTALL)
    if head.count("(") != head.count(")"):
        return False  # inside an argument list
    parens = r"\((?:[^()]|\([^()]*\))*\)"
    for _ in range(8):  # innermost template lists first
        head = re.sub(rf"<[^<>(){{}};=]*({parens}[^<>(){{}};=]*)*>", " ", head)
    head = re.sub(rf"\btemplate\b|\brequires\s*{parens}", " ", head).strip()
    kind = r"(class|struct|union|enum|namespace|extern\s*\"\")\b"
    if re.match(rf"(inline\s+|typedef\s+|export\s+)*{kind}", head) or re.search(rf"\b{kind}[^()]*$", head):
        return False
    if ")" not in head or re.search(r"(\brequires|=|\breturn|,)$", head):
        return False
    # In `X() : a_{1}, b_(2) {` only a brace that follows a finished initialiser opens the body.
    initialisers = re.search(r"\)\s*(?:noexcept\s*)?:(?!:)(.*)$", head, re.DOTALL)
    return not initialisers or initialisers.group(1).rstrip().endswith((")", "}"))


def function_bodies(text):
    """(first line, lines) of each outermost function body. A heuristic: the braces are matched, the grammar is not."""
    bodies = []
    stack = []    # of (head before the brace, opens a body)
    inside = 0    # how many of the stack's entries open a body
    head, line, start = "", 1, 0
    for char in blank(text):
        if char == "\n":
            line += 1
        if char == "{":
            opens = inside == 0 and opens_function(head.strip())
            start = line if opens else start
            inside += opens
            stack.append((head, opens))
            head = ""
        elif char == "}" and stack:
            before, opens = stack.pop()
            inside -= opens
            if opens:
                bodies.append((start, line - start + 1))
            # After `a_{1}` or a requires-expression the declaration goes on; after a body or a class a new one starts.
            goes_on = not opens and re.search(r"[)\w>\]=]\s*$", before) and ("(" in before or "=" in before
                                                                           or "requires" in before)
            head = before + "{}" if goes_on else ""
        elif char == ";" and head.count("(") == head.count(")"):
            head = ""
        else:
            head += char
    return bodies


class Tidy:
    def __init__(self, root, floors):
        self.root = root
        self.floors = floors
        self.faults = []
        self.graph = {}  # header → wisp headers that it includes
        self.types = {}  # namespace and name of each type of the library → where it is defined

    def fault(self, path, line, rule, what):
        self.faults.append((rule, f"{path.relative_to(self.root)}:{line}: [{rule}] {what}"))

    def run(self):
        for tree in TREES:
            for path in sorted((self.root / tree).rglob("*")):
                if path.suffix in (".hpp", ".cpp"):
                    self.check_file(path)
        self.check_cycles()
        return self.faults

    def check_file(self, path):
        text = path.read_text(encoding="utf-8")
        lines = text.splitlines()
        if len(lines) >= FILE_LINES:
            self.fault(path, len(lines), "file-length", f"{len(lines)} lines; the limit is {FILE_LINES - 1}")
        for number, line in enumerate(lines, 1):
            if len(line) > LINE_COLUMNS:
                self.fault(path, number, "line-length", f"{len(line)} columns; the limit is {LINE_COLUMNS}")
            if TODO.search(line):
                self.fault(path, number, "todo", "write TODO(perf|port|cleanup): and a sentence")
        for start, count in function_bodies(text):
            if count >= FUNCTION_LINES:
                self.fault(path, start, "function-length", f"{count} lines; the limit is {FUNCTION_LINES - 1}")
        name = path.relative_to(self.root).as_posix()
        if name.startswith(("include/", "src/")) and name not in THREAD_LOCAL:
            for number, line in enumerate(blank(text).splitlines(), 1):
                if re.search(r"\bthread_local\b", line):
                    self.fault(path, number, "thread-local", "a simulator's fibers would share it: see THREAD_LOCAL")
        if name.startswith(("include/", "src/")):
            self.check_types(path, lines)
        includes = [(number, *match.groups()) for number, line in enumerate(lines, 1)
                    if (match := INCLUDE.match(line))]
        for number, bracket, name in includes:
            if bracket == '"' and name.startswith("wisp/"):
                self.fault(path, number, "include-style", f"include <{name}> in angle brackets")
        if path.suffix == ".hpp" and not any(line.strip() == "#pragma once" for line in lines):
            self.fault(path, 1, "pragma-once", "a header says #pragma once")

        tree, *parts = path.relative_to(self.root).parts
        if tree == "include":
            self.check_header(path, lines, includes, "/".join(parts[1:]).removesuffix(".hpp"))
        elif tree == "src":
            self.check_source(path, includes, parts[0] if len(parts) > 1 else ".")

    def check_types(self, path, lines):
        """Two types of one name, in sources that never meet: their functions are one to the linker, whose is chance."""
        within = []
        for number, line in enumerate(lines, 1):
            if match := NAMESPACE.match(line):
                within.append(match.group(1))
            elif line.startswith("}  // namespace") and within:
                within.pop()
            elif (match := TYPE.match(line)) and "" not in within and not line.endswith(";"):
                key = ("::".join(within).replace("inline ", ""), match.group(1))
                here = f"{path.relative_to(self.root)}:{number}"
                if (first := self.types.setdefault(key, here)) != here:
                    self.fault(path, number, "one-definition", f"{match.group(1)} is defined in {first} too")

    def check_header(self, path, lines, includes, header):
        floors = self.floors
        if not floors.is_detail(header):
            if header not in floors.allowed:
                self.fault(path, 1, "unknown-header", f"{header} is not in the table of floors")
            if not any(re.fullmatch(rf"// Threads: ({'|'.join(THREADS)})\b.*", line) for line in lines):
                self.fault(path, 1, "threads", f"a public header says '// Threads: {' | '.join(THREADS)}'")
        if floors.folder(header) not in floors.number:
            self.fault(path, 1, "unknown-header", f"{floors.folder(header)} is not a floor")
            return
        self.graph[header] = []
        for number, bracket, name in includes:
            if bracket == '"':
                self.fault(path, number, "include-style", f"a public header includes <{name}> in angle brackets")
            elif name.startswith("wisp/"):
                included = name.removeprefix("wisp/").removesuffix(".hpp")
                self.graph[header].append((included, path, number))
                if refusal := floors.refusal(header, included):
                    self.fault(path, number, "floors", refusal)
            else:
                self.check_outside(path, number, name)

    def check_source(self, path, includes, folder):
        """A source file may include its own floor and lower ones; only the core's may use no third-party library."""
        floors = self.floors
        if folder not in floors.number:
            self.fault(path, 1, "unknown-header", f"{folder} is not a floor")
            return
        for number, bracket, name in includes:
            if bracket == '"':
                continue
            if not name.startswith("wisp/"):
                if floors.number[folder] <= floors.number["."]:
                    self.check_outside(path, number, name)
                continue
            theirs = floors.folder(name.removeprefix("wisp/"))
            if theirs != folder and floors.number.get(theirs, 99) >= floors.number[folder]:
                self.fault(path, number, "floors", f"{name} is not below {folder}")

    def check_outside(self, path, number, name):
        standard = "/" not in name and "." not in name
        if not (standard or name.startswith(("absl/", "fmt/")) or SYSTEM_HEADER.fullmatch(name)):
            self.fault(path, number, "third-party", f"<{name}> is neither std, Abseil, fmt nor the system's")

    def check_cycles(self):
        done = set()

        def visit(header, trail):
            if header in done or header not in self.graph:
                return
            for included, path, number in self.graph[header]:
                if included in trail:
                    loop = trail[trail.index(included):] + [included]
                    self.fault(path, number, "cycle", " → ".join(loop))
                else:
                    visit(included, trail + [included])
            done.add(header)

        for header in sorted(self.graph):
            visit(header, [header])


def main(arguments):
    if arguments == ["--self-test"]:
        import self_test
        return self_test.main()
    root = Path(arguments[0] if arguments else __file__).resolve()
    root = root if arguments else root.parents[2]
    faults = Tidy(root, Floors(FLOORS)).run()
    for _, message in faults:
        print(message)
    print(f"tidy: {len(faults)} faults" if faults else "tidy: clean")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
