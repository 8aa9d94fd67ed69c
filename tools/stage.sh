#!/bin/sh
# stage.sh TARGET...: runs make targets one after the other, says how long each took, stops at the first that fails.
set -eu
cd "$(dirname "$0")/.."
begin=$(date +%s)
for target in "$@"; do
    printf '\n=== %s\n' "$target"
    start=$(date +%s)
    make --no-print-directory "$target"
    printf '=== %s: passed in %s s\n' "$target" "$(($(date +%s) - start))"
done
printf '\nAll of %s passed in %s s.\n' "$*" "$(($(date +%s) - begin))"
