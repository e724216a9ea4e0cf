#!/bin/bash
# The simulation finds bugs: some of those in tests/sim/mutants/list are planted, one after the other, and each is found.
# (All of them: make check-mutants.)
set -euo pipefail

PLANTED=4

cd "${top_builddir:?}"
if [ -n "${SANITIZERS:-}" ]; then
    echo "skipped: it is the simulation that is tested here, and says the same without sanitizers"
    exit 77
fi

# A source that was changed may have left one without its line.
for list in list ring-list; do
    LINES_ONLY=yes MUTANTS=$list "$BASH" "${top_srcdir:?}/tests/sim/mutants/plant.sh"
done

# Some of each part, which are found by one of the first seeds.  Each state of the simulation takes others in turn.
all=(no-range-lock answered-by-the-first-fragment last-block-is-not-read plaintext-is-written fua-of-the-first-fragment-only
    holes-are-decrypted chunk-offset-of-the-command short-sends-start-anew flush-is-done-here sending-keys-stay
    limits-of-a-client-are-not-asked extended-payload-is-longer-than-it-is remote-requests-lack-four-bytes
    status-of-another-context groups-are-not-asked removed-exports-are-not-flushed)
state=$(cat "${top_srcdir:?}"/tests/sim/*.[ch] | cksum)
state=${state%% *}
chosen=()
for ((i = 0; i < PLANTED; i++)); do
    chosen+=("${all[(state + i * ${#all[@]} / PLANTED) % ${#all[@]}]}")
done
"$BASH" "$top_srcdir/tests/sim/mutants/plant.sh" "${chosen[@]}"
