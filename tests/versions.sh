#!/usr/bin/env bash
# Two versions of the binary over the same directories: one until it dies, the other after. Not run by CI.
#
# usage: [BASE=COMMIT] tests/versions.sh        BASE is the commit before this one unless it is named
#
# It builds BASE's binary with failpoints in a worktree of its own under target/versions, then runs the kill tests:
#   forward   BASE's binary dies, this one goes on;
#   reverse   this one dies, BASE's goes on; as long as BASE's knows every kind of record that this one writes. From the
#             first new kind on, the older one has to refuse (exit 10) and to leave everything as it was.
# Which binary runs is decided by a script that the tests take for the binary (COUNTERSIGN_BINARY).
set -euo pipefail
cd "$(git -C "$(dirname "$0")" rev-parse --show-toplevel)"
root=$PWD
base=$(git rev-parse --verify "${BASE:-HEAD~1}^{commit}")
place=$root/target/versions
before=$place/countersign-$base
now=$place/countersign-now
mkdir -p "$place"

# Those of each version, as its Makefile has them; the tests of a version that says none were built with all by default.
features() { # where
    make --silent -C "$1" features 2>/dev/null || echo --features failpoints
}

build() { # where, what for
    # shellcheck disable=SC2046 # they are several words
    (cd "$1" && CARGO_TARGET_DIR=$root/target cargo build --quiet --locked $(features .) --bin countersign)
    cp "$root/target/debug/countersign" "$2.new" && mv "$2.new" "$2"
}

if [ ! -x "$before" ]; then
    echo "building $(git log -1 --format='%h %s' "$base")"
    git worktree add --quiet --detach --force "$place/source" "$base"
    trap 'git -C "$root" worktree remove --force "$place/source"' EXIT
    build "$place/source" "$before"
    git worktree remove --force "$place/source"
    trap - EXIT
fi
# Afterwards, so that what stands in target/debug is this version's again.
build "$root" "$now"
if cmp -s "$before" "$now"; then
    echo "the two binaries are the same; BASE=COMMIT names an older one" >&2
    exit 2
fi
read -r -a ours <<< "$(features .)"
cargo test --quiet --locked "${ours[@]}" --test it --no-run

# A program that is one of two binaries. By "death": the first until a test asks it to die, in each home. By "turn": the
# first for the first command in each home, the second for all others.
between() { # first, second, rule, name
    mkdir -p "$place/homes-$4" && rm -rf "$place/homes-$4"/*
    cat > "$place/$4" <<SCRIPT
#!/bin/sh
home= rest=\$HOME
while [ -n "\$rest" ]; do
    part=\${rest%%/*} home=\${home}_\$part
    case \$rest in */*) rest=\${rest#*/} ;; *) rest= ;; esac
done
mark=$place/homes-$4/\$home
case $3 in
death) if [ -n "\$FAILPOINTS" ]; then : > "\$mark"; exec "$1" "\$@"; fi ;;
turn) if [ ! -e "\$mark" ]; then : > "\$mark"; exec "$1" "\$@"; fi ;;
esac
if [ -e "\$mark" ]; then exec "$2" "\$@"; else exec "$1" "\$@"; fi
SCRIPT
    chmod +x "$place/$4"
}

# Tests that make a failpoint kill the process, and tests that kill it from outside.
by_failpoint=(
    kills::k01_to_k30_ kills::k21_to_k25_
    safe::kills::k_a_death_ safe::kills::k06_to_k10_a_death_ safe::kills::k06_to_k10_a_proposal_
    safe::kills::k06_to_k10_an_export_ safe::kills::k10_ safe::kills::k11_to_k20_
    timelock::route::k36_to_k45_ fleet::k_a_fleet_ apps::k_a_death_ newcomers::k_a_death_
    app_send::k11_to_k20_ app_send::a_death_ environment::k01_k05_ policy::k_a_death_ policy::k06_to_k10_
    record_faults::k_who_dies_
)
from_outside=(
    kills::c_a_death_ kills::k31_to_k35_ kills::a_death_at_any_time_ kills::a_run_that_is_killed_
    kills::a_death_at_any_call_ safe::kills::k07_to_k09_ newcomers::k28_
)

failed=0
tests() { # what it is, binary, tests...
    local name=$1 binary=$2
    shift 2
    if COUNTERSIGN_BINARY=$binary cargo test --quiet --locked "${ours[@]}" --test it -- "$@" > "$place/$name.log" 2>&1; then
        echo "$name: $(grep -a '^test result' "$place/$name.log")"
    else
        failed=1
        echo "$name: FAILED, see target/versions/$name.log"
        grep -a '^test result\|\.\.\. FAILED\|^test .* FAILED\|^    [a-z_]*::' "$place/$name.log" | sort -u
    fi
}

both() { # direction, first, second
    between "$2" "$3" death "$1-death"
    between "$2" "$3" turn "$1-turn"
    tests "$1-killed-at-failpoints" "$place/$1-death" "${by_failpoint[@]}"
    tests "$1-killed-from-outside" "$place/$1-turn" "${from_outside[@]}"
}

echo "before: $(git log -1 --format='%h %s' "$base")"
echo "now:    $(git log -1 --format='%h %s')$(git diff --quiet HEAD -- src || echo ', with changes that are not committed')"
# What the version before says, writes and asks; a difference is told and fails nothing.
if COUNTERSIGN_BINARY=$before cargo test --quiet --locked "${ours[@]}" --test it -- golden:: > "$place/golden.log" 2>&1; then
    echo "golden records: the same by both versions"
else
    echo "golden records: different by the version before, see target/versions/golden.log"
fi
both forward "$before" "$now"
export COUNTERSIGN_OTHER=$before
tests reverse "$now" --ignored versions::another_version_
grep -a '^VERSIONS' "$place/reverse.log" || true
if grep -aq '^VERSIONS 0 of' "$place/reverse.log"; then
    both reverse "$now" "$before"
elif [ $failed = 0 ]; then
    echo "reverse: no kill tests, since the version before does not know every kind of record"
fi
exit $failed
