#!/bin/sh
# Uses wisp as its users do, outside of the tree. ctest names the case and sets the environment; see CMakeLists.txt.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
prefix=$WISP_SCRATCH/prefix
room=$WISP_SCRATCH/$(echo "$*" | tr -c 'a-z_\n' '_' | cut -c 1-60)
export CMAKE_PREFIX_PATH="$prefix"

fail() { echo "run.sh: $*" >&2; exit 1; }

# program TARGETS [-D ...]: builds these of program/, with asserts, and runs the tests that have their names. The rest goes
# to cmake.
program() {
  targets=$1
  shift
  "$CMAKE" -S "$here/program" -B "$room" -D CMAKE_BUILD_TYPE=Debug -D CMAKE_CXX_FLAGS_DEBUG=-O0 "$@"
  # shellcheck disable=SC2086  # words
  "$CMAKE" --build "$room" --target $targets
  [ "$targets" != all ] || targets='.*'
  (cd "$room" && "$(dirname "$CMAKE")/ctest" --output-on-failure --no-tests=error \
    --tests-regex "^($(echo "$targets" | tr ' ' '|'))\$")
}

# What pkg-config says about the installed tree; a second argument goes to it.
flags() {
  found=$(find "$prefix" -name wisp.pc)
  [ -n "$found" ] || fail "wisp.pc is not installed"
  PKG_CONFIG_PATH=$(dirname "$found") pkg-config "$@" wisp
}

# compile SOURCE OBJECT [FLAG...]
compile() {
  source=$1 object=$2
  shift 2
  # What pkg-config says is quoted for a shell.
  eval "\"\$CXX\" $CXXFLAGS -std=c++20 -Wall -Wextra -Werror \"\$@\" $(flags --cflags) -c \"\$source\" -o \"\$object\""
}

# link PROGRAM OBJECT...
link() {
  program=$1
  shift
  eval "\"\$CXX\" $CXXFLAGS \"\$@\" $(flags --libs) -o \"\$program\""
}

rm -rf "$room"
mkdir -p "$room"
case $1 in
  install)
    rm -rf "$prefix"
    "$CMAKE" --install "$WISP_BUILD" --prefix "$prefix"
    # For compile_refused: most of what it compiles, once.
    echo "#include <wisp/wisp.hpp>" >"$WISP_SCRATCH/all.hpp"
    compile "$WISP_SCRATCH/all.hpp" "$WISP_SCRATCH/all.hpp.gch" -x c++-header
    ;;
  find_package) program all -D "WISP_VERSION=$WISP_VERSION" -D "WISP_EXPECT=$(echo "$WISP_EXPECT" | tr ' ' ';')" ;;
  # Its own headers are checked elsewhere, and what goes with the core, most of what there is to compile, by find_package.
  add_subdirectory)
    program "two_units in_program in_STATIC sim" -D WISP_JSON=OFF -D WISP_HTTP=OFF \
      -D "WISP_SOURCE=$WISP_SOURCE" -D "CMAKE_PROJECT_wisp_INCLUDE=$WISP_SOURCE/cmake/precompile.cmake"
    ;;
  pkg_config)
    flags --modversion
    compile "$here/program/two_units.cpp" "$room/1.o"
    compile "$here/program/other_unit.cpp" "$room/2.o"
    link "$room/two_units" "$room/1.o" "$room/2.o"
    "$room/two_units"
    ;;
  absolute_folders)
    "$CMAKE" -S "$WISP_SOURCE" -B "$room" -D WISP_BUILD_TESTS=OFF -D WISP_BUILD_BENCH=OFF -D WISP_BUILD_EXAMPLES=OFF \
      -D WISP_JSON=OFF -D WISP_HTTP=OFF -D CMAKE_INSTALL_INCLUDEDIR=/elsewhere/include -D CMAKE_INSTALL_LIBDIR=/elsewhere/lib
    said=$(PKG_CONFIG_PATH=$room pkg-config --cflags --libs wisp)
    case $said in
      *-I/elsewhere/include\ *-L/elsewhere/lib\ *) ;;
      *) fail "wisp.pc says: $said" ;;
    esac
    ;;
  mixed_exceptions)
    # Unoptimised, so that nothing is inlined and the linker has to choose between the two objects' templates.
    for unit in main throws; do compile "$here/mixed/$unit.cpp" "$room/$unit.o" -O0; done
    compile "$here/mixed/plain.cpp" "$room/plain.o" -O0 -fno-exceptions -fno-rtti
    link "$room/throws_first" "$room/throws.o" "$room/plain.o" "$room/main.o"
    link "$room/plain_first" "$room/plain.o" "$room/throws.o" "$room/main.o"
    "$room/throws_first"
    "$room/plain_first"
    ;;
  configure_refused)
    if "$CMAKE" -S "$here/configure" -B "$room" -D "CASE=$2" -D "WISP_OTHER_VERSION=$WISP_OTHER_VERSION" >"$room.log" 2>&1; then
      fail "configure/ accepts $2"
    fi
    cat "$room.log"
    # CMake breaks messages into lines.
    tr -s ' \n' ' ' <"$room.log" | grep -qF -- "$3" || fail "the output of $2 lacks: $3"
    ;;
  compile_refused)
    compile "$here/refused/$2.cpp" "$room/fixed.o" -include "$WISP_SCRATCH/all.hpp" -D FIXED || fail "$2 does not compile when FIXED"
    if compile "$here/refused/$2.cpp" "$room/faulty.o" -include "$WISP_SCRATCH/all.hpp" >"$room.log" 2>&1; then
      fail "$2 compiles, and must not"
    fi
    cat "$room.log"
    texts=$(sed -n "s/^$2: *//p" "$here/refused/expected.txt")
    [ -n "$texts" ] || fail "expected.txt has no line for $2"
    echo "$texts" | while read -r text; do
      grep -qF -- "$text" "$room.log" || fail "the output lacks: $text"
    done
    ;;
  *) fail "no case $1" ;;
esac
