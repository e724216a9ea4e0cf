#!/bin/bash
# plant.sh [NAME...]: plants one bug after the other and runs seeds until one fails.
#
# Each is one line of a source, changed by sed in a copy: the product's own sources stay as they are.  A bug
# that is not found within SEEDS_MAX seeds is a fault of the simulation.  Run in the build folder, by
# `make check-mutants` or tests/sim/test-sim-finds-planted-bugs.sh.  MUTANTS: the list of them; MUTANT_TARGET: what
# links one with a simulation.  LINES_ONLY=yes: only tells which of them find no line to change any more.
set -euo pipefail
shopt -s extglob

SEEDS_MAX=${SEEDS_MAX:-200}
CPU_SECONDS_MAX=${CPU_SECONDS_MAX:-5} # a seed that takes more has found that something has no end
LINES_ONLY=${LINES_ONLY:-no}
MUTANTS=${MUTANTS:-list}
MUTANT_TARGET=${MUTANT_TARGET:-mutant}
top_srcdir=${top_srcdir:-..}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
limits=(--cpu-seconds "$CPU_SECONDS_MAX")
[ "$MUTANTS" = list ] || limits=() # the loop's simulation has no such limit
wanted=" $* "
lived=0 died=0 seeds_most=0

# mutant NAME FILE SED [UNIT [OPTION...]]: FILE is a source, or a header that UNIT includes; the options are for
# simulate, and make likely what the bug needs.
mutant() {
    local name=$1 file=$2 change=$3 unit=${4:-$2} changed output seeds code sentence

    shift 3
    [ $# -eq 0 ] || shift
    [ "$wanted" = "  " ] || [[ $wanted == *" $name "* ]] || return 0
    rm -rf "${folder:?}"/*
    mkdir -p "$folder/$(dirname "$file")"
    sed -E "$change" "$top_srcdir/$file" >"$folder/$file"
    changed=$(diff "$top_srcdir/$file" "$folder/$file" | grep -c '^>' || true)
    if [ "$changed" -ne 1 ] && [[ $(diff "$top_srcdir/$file" "$folder/$file" | grep -c '^<') -ne 1 ]]; then
        echo "$name: changes $changed lines of $file, not one"
        lived=$((lived + 1))
        return 0
    fi
    [ "$LINES_ONLY" = no ] || return 0
    if [ -e "$folder/$unit" ]; then
        unit=$folder/$unit
    else
        unit=$top_srcdir/$unit
    fi
    if ! MAKEFLAGS="" make -s "$MUTANT_TARGET" MUTANT="$folder" MUTANT_UNIT="$unit" >"$folder/log" 2>&1; then
        cat "$folder/log"
        echo "$name: does not compile"
        lived=$((lived + 1))
        return 0
    fi
    output=$("$folder/simulate" --first-failure "${limits[@]}" --seeds "$SEEDS_MAX" 1 "$@" 2>"$folder/errors") && code=0 || code=$?
    if [ "$code" -ne 1 ]; then
        [ "$code" -eq 0 ] || cat "$folder/errors"
        echo "$name: LIVES after $SEEDS_MAX seeds"
        lived=$((lived + 1))
        return 0
    fi
    seeds=$(sed -nE 's/^([0-9]+) seeds from.*/\1/p' <<<"$output")
    died=$((died + 1))
    [ "${seeds:-0}" -le "$seeds_most" ] || seeds_most=$seeds
    sentence=$(sed -nE 's/^FAILED: |^simulate: .*(Assertion)/\1/p' "$folder/errors" | head -n 1)
    [ -n "$sentence" ] || sentence=$(grep -m 1 ' ended by signal ' "$folder/errors" || true) # 9: it took too much CPU time
    echo "$name: found after ${seeds:-?} seeds: $sentence"
}

# shellcheck source=tests/sim/mutants/list
. "$top_srcdir/tests/sim/mutants/$MUTANTS"

[ "$LINES_ONLY" = no ] || exit "$((lived > 0))"
echo "$died planted bugs were found, each within $seeds_most seeds; $lived were not"
[ "$lived" -eq 0 ]
