"""Turns the C++ blocks of README.md into sources that a test compiles.

    extract.py README.md OUTPUT_DIR

A block with main() becomes program_N.cpp; a block with an #include and no main() is put before all fragments; every other
block is the body of a function that has a `runtime`. Writes only what changed, so that a build stays quiet.
"""
import pathlib
import re
import sys

BEFORE = """\
#include <wisp/wisp.hpp>

struct Order {
  std::string id;
  double total;
  std::string country;
};
WISP_FIELDS(Order, id, total, country)
"""


def write(path, text):
    if not path.exists() or path.read_text() != text:
        path.write_text(text)


def main():
    readme, out = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
    out.mkdir(parents=True, exist_ok=True)
    blocks = re.findall(r"^```cpp\n(.*?)^```", readme.read_text(), re.MULTILINE | re.DOTALL)
    programs = [b for b in blocks if "int main(" in b]
    shared = [b for b in blocks if "int main(" not in b and "#include" in b]
    bodies = [b for b in blocks if "int main(" not in b and "#include" not in b]
    if len(programs) != 7 or not shared or len(bodies) < 5:
        sys.exit(f"{readme}: expected seven programs, declarations and fragments, found only {len(blocks)} blocks")
    for number, block in enumerate(programs):
        write(out / f"program_{number}.cpp", block)
    text = BEFORE + "".join(shared) + "using namespace shipping;\n"
    for number, block in enumerate(bodies):
        text += f"\n[[maybe_unused]] static void fragment_{number}(wisp::Runtime& runtime) {{\n"
        text += block + "  (void)runtime;\n}\n"
    write(out / "fragments.cpp", text)


main()
