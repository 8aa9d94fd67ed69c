#!/bin/sh
# sanity.sh [ARG...]: ansible-test sanity on the collection as it is built, without containers.
# The artefact is unpacked outside every work tree: below an ignored folder ansible-test sees no file and passes on nothing.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d "${TMPDIR:-/tmp}/dr-sanity.XXXXXX")
trap 'rm -rf "$work"' EXIT INT TERM
cd "$root"
.venv/bin/ansible-galaxy collection build --force --output-path "$work" . >/dev/null
there=$work/ansible_collections/terragon/disaster_recovery
mkdir -p "$there"
tar -xzf "$work"/terragon-disaster_recovery-*.tar.gz -C "$there"
git -C "$there" init -q
# ansible-test fetches get-pip.py from the internet for its environments; the interpreter's own ensurepip serves as well.
export HOME="$work/home" XDG_CACHE_HOME="${XDG_CACHE_HOME:-$HOME/.cache}"
mkdir -p "$HOME/.ansible/test/cache"
for version in 24_2 25_2 25_3 26_0; do
    cp "$root/tools/get_pip.py" "$HOME/.ansible/test/cache/get_pip_$version.py"
done
version=$("$root/.venv/bin/python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
cd "$there"
PATH="$root/.venv/bin:$PATH" exec_status=0
"$root/.venv/bin/ansible-test" sanity --python "$version" --color no "$@" || exec_status=$?
exit "$exec_status"
