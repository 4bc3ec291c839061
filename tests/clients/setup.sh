#!/bin/sh
# What tests/clients needs and is not here yet: clients from Debian's packages, and in build/clients of npm's playwright-core,
# which drives Debian's chromium, and the SDK of CloudEvents. May run as often as you like; does nothing where all is there.
#
#   sh tests/clients/setup.sh
set -eu
cd "$(dirname "$0")/../.."
where=$PWD/build/clients
playwright=1.65.1
cloudevents=10.0.0

packages=''
# needs PROGRAM PACKAGE
needs() { command -v "$1" >/dev/null || packages="$packages $2"; }
needs curl curl
needs openssl openssl
needs wrk wrk
needs promtool prometheus
needs chromium chromium
needs slowhttptest slowhttptest
needs python3 python3
# Another Node than Debian's does as well, if it is new enough, and brings its npm.
if ! command -v node >/dev/null || [ "$(node -p 'parseInt(process.versions.node)')" -lt 18 ]; then
  packages="$packages nodejs npm"
else
  needs npm npm
fi

if [ -n "$packages" ]; then
  echo "installing$packages"
  as_root=env
  [ "$(id -u)" = 0 ] || as_root="sudo -n env"
  $as_root apt-get update
  # shellcheck disable=SC2086  # words
  $as_root DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
    -o DPkg::Lock::Timeout=120 $packages
fi

# present PACKAGE VERSION
present() { grep -qs "\"version\": \"$2\"" "$where/node_modules/$1/package.json"; }
if ! present playwright-core $playwright || ! present cloudevents $cloudevents; then
  echo "installing playwright-core $playwright and cloudevents $cloudevents"
  mkdir -p "$where"
  npm install --prefix "$where" --no-save --no-audit --no-fund --ignore-scripts \
    "playwright-core@$playwright" "cloudevents@$cloudevents"
fi
