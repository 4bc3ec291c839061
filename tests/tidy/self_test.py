"""Shows that each rule of tidy.py fires, on small trees that break one rule each."""

import tempfile
from pathlib import Path

from tidy import FILE_LINES, FUNCTION_LINES, LINE_COLUMNS, Floors, Tidy, function_bodies

FLOORS = """
0 base
    clock
    park → clock
    money
1 model
    event
    policy → event
    detail/table → policy
4 .
    runtime
    wisp → runtime
5 sim
    world
5 http
    gateway
"""


def bits(namespace):
    return f"namespace {namespace}{{\nclass Bits {{\n}};\n}}  // namespace {namespace}\n"


def header(*includes, threads="// Threads: any.", once="#pragma once", body=""):
    return "\n".join([threads, once, *(f"#include {name}" for name in includes), body, ""])


CLEAN = {
    "include/wisp/base/clock.hpp": header("<chrono>", "<sys/types.h>", "<absl/status/status.h>", "<fmt/core.h>"),
    "include/wisp/base/park.hpp": header("<wisp/base/clock.hpp>"),
    "include/wisp/base/money.hpp": header("<cstdint>"),
    "include/wisp/base/detail/bits.hpp": header(threads="", body=bits("wisp ")),
    "include/wisp/model/event.hpp": header("<wisp/base/park.hpp>", "<wisp/base/detail/bits.hpp>"),
    "include/wisp/model/policy.hpp": header("<wisp/model/event.hpp>", "<wisp/model/detail/names.hpp>"),
    "include/wisp/model/detail/names.hpp": header("<wisp/base/money.hpp>", threads=""),
    "include/wisp/model/detail/table.hpp": header("<wisp/model/policy.hpp>", threads=""),
    "include/wisp/runtime.hpp": header("<wisp/model/policy.hpp>"),
    "include/wisp/wisp.hpp": header("<wisp/runtime.hpp>"),
    "include/wisp/sim/world.hpp": header("<wisp/runtime.hpp>"),
    "include/wisp/http/gateway.hpp": header(),
    "src/model/event.cpp": "#include <wisp/model/event.hpp>\n#include <wisp/model/policy.hpp>\n#include \"near.hpp\"\n",
    "src/runtime.cpp": "#include <wisp/wisp.hpp>\n#include <wisp/base/clock.hpp>\n",
    "src/http/gateway.cpp": "#include <boost/asio.hpp>\n#include <wisp/runtime.hpp>\n" + bits("wisp::http ") + bits(""),
    "tests/base/clock_test.cpp": "#include <wisp/wisp.hpp>\n#include \"catch.hpp\"\n// TODO(perf): measure it.\n",
}

# What is put into the clean tree, and the rules that have to fire.
BROKEN = [
    ("a higher floor", "include/wisp/base/clock.hpp", header("<wisp/model/event.hpp>"), {"floors", "cycle"}),
    ("no arrow", "include/wisp/base/money.hpp", header("<wisp/base/clock.hpp>"), {"floors"}),
    ("against the arrow", "include/wisp/base/clock.hpp", header("<wisp/base/park.hpp>"), {"floors", "cycle"}),
    ("two arrows are none", "include/wisp/wisp.hpp", header("<wisp/sim/world.hpp>"), {"floors"}),
    ("an adapter sees its sibling", "include/wisp/sim/world.hpp", header("<wisp/http/gateway.hpp>"), {"floors"}),
    ("a detail header without arrow", "include/wisp/model/detail/names.hpp", header("<wisp/model/event.hpp>"), {"floors"}),
    ("a source above its floor", "src/model/event.cpp", "#include <wisp/runtime.hpp>\n", {"floors"}),
    ("an unlisted header", "include/wisp/base/extra.hpp", header(), {"unknown-header"}),
    ("an unlisted floor", "include/wisp/cellar/wine.hpp", header(), {"unknown-header"}),
    ("an unlisted source folder", "src/cellar/wine.cpp", "", {"unknown-header"}),
    ("a cycle in detail", "include/wisp/base/detail/bits.hpp", header("<wisp/base/detail/bits.hpp>"), {"cycle"}),
    ("a library in a header", "include/wisp/http/gateway.hpp", header("<boost/asio.hpp>"), {"third-party"}),
    ("a library in the core", "src/runtime.cpp", "#include <sqlite3.h>\n", {"third-party"}),
    ("no Threads line", "include/wisp/base/money.hpp", header(threads="// Threads are fine."), {"threads"}),
    ("an unknown Threads word", "include/wisp/base/money.hpp", header(threads="// Threads: some."), {"threads"}),
    ("no #pragma once", "tests/helper.hpp", "// A helper.\n", {"pragma-once"}),
    ("wisp in quotes", "tests/base/clock_test.cpp", "#include \"wisp/wisp.hpp\"\n", {"include-style"}),
    ("quotes in a public header", "include/wisp/base/money.hpp", header('"clock.hpp"'), {"include-style"}),
    ("a TODO without kind", "src/runtime.cpp", "// TODO: later\n", {"todo"}),
    ("a TODO without sentence", "src/runtime.cpp", "// TODO(perf):\n", {"todo"}),
    ("a type's second definition", "src/runtime.cpp", bits("wisp "), {"one-definition"}),
    ("a new thread-local", "src/runtime.cpp", "// thread_local\nthread_local int n;\n", {"thread-local"}),
    ("a long line", "src/runtime.cpp", "//" + "x" * (LINE_COLUMNS - 1) + "\n", {"line-length"}),
    ("a long file", "src/runtime.cpp", "//\n" * FILE_LINES, {"file-length"}),
    ("a long function", "src/runtime.cpp", "int f() {\n" + "\n" * (FUNCTION_LINES - 2) + "}\n", {"function-length"}),
]

LONGEST = "\n" * (FUNCTION_LINES - 3)

# Code, and the number of lines of each function body in it.
BODIES = [
    ("void f() {\n}\nint g() { return 1; }", [2, 1]),
    ("namespace a::inline v0 {\nclass X : public Y<int()> {\n  void f() const noexcept {\n  }\n};\n}", [2]),
    ("template <class F>\n  requires requires { &F::operator(); }\nstruct Z<F> : M<decltype(&F::operator())> {\n};", []),
    ("template <class T>\n  requires(sizeof(T) > 4)\nauto f(T t) -> std::vector<T> {\n  return {t};\n}", [3]),
    ("X::X(int a)\n    : a_{a}, b_(2),\n      c_{3} {\n}", [2]),
    ("TEST_CASE(\"a { b\", \"[x]\") {\n  if (x) {\n  }\n}", [4]),
    ("WISP_FUNCTION(f, .retry = {.attempts = 3}) = [](const P& p) -> R {\n};", [2]),
    ("constexpr int kTable[] = {\n  f(1),\n  2};\nenum class E { a };\nauto x = make({1,\n 2});", []),
    ("// void f() {\nconst char* s = R\"(void g() {)\";\n#define M void h() {\nint n = 1'000; void k() {}", [1]),
    ("bool operator<(const A& a, const B& b) {\n}", [2]),
    (f"int f() {{{LONGEST}\n}}\nint g() {{}}", [FUNCTION_LINES - 1, 1]),
]


def rules_of(files):
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for name, text in files.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        return {rule for rule, _ in Tidy(root, Floors(FLOORS)).run()}


def main():
    wrong = []
    if rules := rules_of(CLEAN):
        wrong.append(f"the clean tree broke {sorted(rules)}")
    for title, name, text, expected in BROKEN:
        if (rules := rules_of({**CLEAN, name: text})) != expected:
            wrong.append(f"{title}: expected {sorted(expected)}, got {sorted(rules)}")
    for code, expected in BODIES:
        if (lines := [count for _, count in function_bodies(code)]) != expected:
            wrong.append(f"bodies of {code!r}: expected {expected}, got {lines}")
    for line in wrong:
        print(line)
    print(f"tidy self-test: {len(BROKEN) + len(BODIES) + 1} cases, {len(wrong)} wrong")
    return 1 if wrong else 0
