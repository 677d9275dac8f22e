#!/usr/bin/env bash
# Prints the figures of the sources: sizes, blocks of methods by folder, arrows and circles of files, public names, and
# phrases that are to go. Not run by CI.
#
# usage: [BASE=COMMIT] tests/figures.sh        BASE prints those of another commit beside today's
set -euo pipefail
cd "$(git -C "$(dirname "$0")" rev-parse --show-toplevel)"
place=$PWD/target/figures
mkdir -p "$place"
# The test needs nothing but the standard library.
CARGO_MANIFEST_DIR=$PWD rustc --edition 2024 -O --test -o "$place/figures" tests/it/house/figures/mod.rs

print() { # sources
    COUNTERSIGN_SOURCES=$1 "$place/figures" --ignored --nocapture --exact figures | grep -v '^$\|^running\|^ok$\|^test result' |
        sed 's/^test figures \.\.\. //'
}

if [ -n "${BASE:-}" ]; then
    rm -rf "$place/src"
    git archive "$BASE" src | tar -x -C "$place"
    echo "== $(git log -1 --format='%h %s' "$BASE")"
    print "$place/src"
fi
echo "== $(git log -1 --format='%h %s')$(git diff --quiet HEAD -- src || echo ', with changes that are not committed')"
print "$PWD/src"
