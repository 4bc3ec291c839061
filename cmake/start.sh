#!/bin/sh
# From a fresh clone to wisp at work, on a bare Debian or Ubuntu:
#
#   sh cmake/start.sh         installs what is missing, builds release, runs examples/edge_gateway
#   sh cmake/start.sh test    the same, then builds and runs all tests
#
# May run as often as you like; what is there is not done again. Each long step writes to build/log/.
set -u
cd "$(dirname "$0")/.." || exit 1
logs=$PWD/build/log
mkdir -p "$logs" || exit 1
trap 'exit 130' INT  # once the command that runs has ended

case ${1-} in
  "") testing=OFF steps=4 seconds=10 ;;
  test) testing=ON steps=6 seconds=3 ;;
  *) echo "usage: sh cmake/start.sh [test]" >&2; exit 2 ;;
esac
number=0

# fail WHAT NEXT-STEP [LOG]
fail() {
  if [ -n "${3-}" ]; then
    printf '\n--- last lines of %s\n' "$3"
    tail -n 40 "$3"
    echo "---"
  fi >&2
  printf 'start.sh: %s\nnext step: %s\n' "$1" "$2" >&2
  exit 1
}

# step TITLE: starts a step; `took` ends its line with the seconds that it took.
step() {
  number=$((number + 1)) began=$(date +%s)
  line="[$number/$steps] $1 "
  printf '%s' "$line"
}
took() { printf '%s(%d s)\n' "${1:+$1 }" $(($(date +%s) - began)); }

# logged NAME NEXT-STEP COMMAND...: the output goes to a log, which is shown if the command fails. On a terminal the line of
# the step meanwhile follows the build's own count, such as [7/42].
logged() {
  log=$logs/$1.log next=$2 counter=''
  shift 2
  [ ! -t 1 ] || { count & counter=$!; }
  # In front, so that an interrupt reaches it.
  "$@" >"$log" 2>&1 </dev/null
  status=$?
  [ -z "$counter" ] || { kill "$counter"; wait "$counter"; } 2>/dev/null
  [ $status = 0 ] && return
  echo failed
  fail "this failed: $*" "$next" "$log"
}
# While this script is there.
count() {
  while sleep 1 && kill -0 $$ 2>/dev/null; do
    printf '\r%s%s ' "$line" "$(sed -n 's/^\(\[[0-9]*\/[0-9]*\]\) .*/\1/p' "$log" | tail -n 1)"
  done
}

# One line for each thing that the build needs: how to see that it is there, and who installs it.
#   kind  name                          apt              dnf                     pacman      brew
needs='
  tool  c++                           g++              gcc-c++                 gcc         gcc
  tool  cmake                         cmake            cmake                   cmake       cmake
  tool  ninja                         ninja-build      ninja-build             ninja       ninja
  head  absl/status/statusor.h        libabsl-dev      abseil-cpp-devel        abseil-cpp  abseil
  head  fmt/core.h                    libfmt-dev       fmt-devel               fmt         fmt'
[ $testing = ON ] && needs=$needs'
  head  catch2                        catch2           catch-devel             catch2      catch2
  head  boost/asio/io_context.hpp     libboost1.81-dev boost-devel             boost       boost
  head  openssl/ssl.h                 libssl-dev       openssl-devel           openssl     openssl
  head  argon2.h                      libargon2-dev    libargon2-devel         argon2      argon2
  head  zlib.h                        zlib1g-dev       zlib-devel              zlib        zlib
  head  boost/json.hpp                libboost-json1.81-dev  boost-devel       boost       boost
  head  benchmark/benchmark.h         libbenchmark-dev google-benchmark-devel  benchmark   google-benchmark
  file  /usr/share/zoneinfo/Europe/Lisbon tzdata  tzdata                  tzdata      tzdata
  tool  pkg-config                    pkg-config       pkgconf-pkg-config      pkgconf     pkgconf
  tool  python3                       python3          python3                 python      python'

compiler=${CXX:-c++}  # perhaps in words, as "ccache g++"
without=''  # of these, what is left out

present() {
  case $1:$2 in
    tool:c++) command -v "${compiler%% *}" ;;
    tool:*) command -v "$2" ;;
    head:catch2) has_header catch2/catch.hpp || has_header catch2/catch_all.hpp ;;
    head:*) has_header "$2" ;;
    file:*) [ -e "$2" ] ;;
  esac >/dev/null 2>&1
}
# shellcheck disable=SC2086
has_header() { echo "#include <$1>" | $compiler -E -x c++ -std=c++20 -; }

# Sets missing to the packages, by the names of the system whose column is $1, for what is not there.
find_missing() {
  missing=$(echo "$needs" | while read -r kind name apt dnf pacman brew; do
    [ -z "$kind" ] || [ "$name" = "$without" ] || present "$kind" "$name" || eval "echo \$$1"
  done | tr '\n' ' ')
  missing=${missing% }
}

install_with_apt() {
  as_root=''
  if [ "$(id -u)" != 0 ]; then
    by_hand="as root: apt-get update && apt-get install $missing"
    command -v sudo >/dev/null || fail "missing: $missing; and there is no sudo" "$by_hand"
    # Without a terminal nobody can type a password.
    [ -t 0 ] || sudo -n true 2>/dev/null || fail "missing: $missing; and sudo wants a password" "$by_hand"
    as_root="sudo env"
    printf '(by sudo) '
    sudo true || fail "missing: $missing; and sudo refused" "$by_hand"
  fi
  next="check the network and /etc/apt/sources.list, then run this again"
  export DEBIAN_FRONTEND=noninteractive
  # shellcheck disable=SC2086  # words
  logged apt-update "$next" ${as_root:-env} LC_ALL=C apt-get update
  # Debian 12 has this Boost beside an older default; elsewhere the default is as new or newer.
  apt-cache show libboost-json1.81-dev >/dev/null 2>&1 || missing=$(echo "$missing" | sed 's/1\.81-dev/-dev/g')
  # shellcheck disable=SC2086
  if LC_ALL=C apt-get install -s --no-install-recommends $missing 2>/dev/null | grep -q '^Remv'; then
    printf '(without JSON, as libboost-json1.81-dev would replace the Boost that is here) '
    without=boost/json.hpp
    find_missing apt
    [ -n "$missing" ] || return
  fi
  # shellcheck disable=SC2086
  logged apt-install "$next" ${as_root:-env} LC_ALL=C DEBIAN_FRONTEND=noninteractive \
    apt-get install -y --no-install-recommends --no-remove -o DPkg::Lock::Timeout=120 $missing
}

install_missing() {
  if command -v apt-get >/dev/null; then
    find_missing apt
    [ -z "$missing" ] && return
    printf 'installing %s ' "$missing"
    install_with_apt
    find_missing apt
    [ -z "$missing" ] || fail "installed, but still not found: $missing" "look into $logs/apt-install.log"
    return
  fi
  for manager in dnf pacman brew; do
    command -v $manager >/dev/null || continue
    find_missing $manager
    [ -z "$missing" ] && return
    case $manager in
      dnf) how="dnf install" ;;
      pacman) how="pacman -S" ;;
      brew) how="brew install" ;;
    esac
    fail "missing: $missing" "$how $missing"
  done
  find_missing apt
  [ -z "$missing" ] || fail "missing, by Debian's names: $missing" "install them with this system's package manager"
}

# at_least VERSION MAJOR MINOR
at_least() {
  major=${1%%.*} rest=${1#*.}
  minor=${rest%%[!0-9]*}
  [ "$major" -gt "$2" ] || { [ "$major" -eq "$2" ] && [ "${minor:-0}" -ge "$3" ]; }
}

check_versions() {
  newer="use Debian 12, Ubuntu 24.04 or later, or install a newer one"
  version=$(cmake --version | sed -n 's/^cmake version //p')
  at_least "$version" 3 25 || fail "cmake is $version, and wisp needs 3.25" "$newer"
  # shellcheck disable=SC2086
  version=$(echo __GNUC__ __clang_major__ | $compiler -E -P -x c++ - | tail -n 1)
  case $version in
    *__clang_major__) at_least "${version% *}.0" 12 0 || fail "g++ is ${version% *}, and wisp needs 12" "$newer" ;;
    *) at_least "${version#* }.0" 16 0 || fail "clang is ${version#* }, and wisp needs 16" "$newer" ;;
  esac
}

[ "$(uname -s)" = Linux ] || fail "wisp runs on Linux only, and this is $(uname -s)" "use a container or a virtual machine"
report="read the log above; when it is wisp's fault, file it with the log"

step "packages:"
install_missing
check_versions
took "all there"

# Warnings are errors where wisp is checked, not where it is tried with a compiler that nobody has seen yet; and there no
# adapter may be left out.
adapters=''
[ -z "${CI-}" ] || [ $testing = OFF ] || adapters="-D WISP_JSON=ON -D WISP_HTTP=ON"
step "configure"
# shellcheck disable=SC2086  # words
logged configure "$report" cmake --preset release \
  -D WISP_WERROR=${CI:+ON} -D WISP_BUILD_TESTS=$testing -D WISP_BUILD_BENCH=$testing $adapters \
  ${WISP_TEST_TIMEOUT:+-D WISP_TEST_TIMEOUT="$WISP_TEST_TIMEOUT"}
took "($(sed -n 's/^-- wisp: adapters: */adapters: /p' "$logs/configure.log"))"

step "build the library and edge_gateway, one to three minutes"
logged build "$report" cmake --build --preset release --target wisp_core edge_gateway
took

step "run edge_gateway for $seconds s: this machine's sensors as events"
echo
build/release/examples/edge_gateway --seconds $seconds || fail "edge_gateway ended with $?" "run build/release/examples/edge_gateway"

if [ $testing = ON ]; then
  step "build the tests, the other examples and the benchmarks, some minutes"
  logged build-tests "$report" cmake --build --preset release
  took

  step "run the tests"
  echo
  ctest --preset release --parallel "$(nproc)" --output-log "$logs/ctest.log" </dev/null ||
    fail "tests failed" "ctest --preset release --rerun-failed"
fi
echo "done"
