#!/bin/bash
# The real loop on a simulated io_uring, as kernels of several ages do it: full queues, completions that have no room,
# refused and partial submissions, signals, cancellations that come too late, threads that post at any moment. Each
# operation completes once, each message arrives in time, and nothing is left. Bugs that are planted are found.
set -euo pipefail

cd "${top_builddir:?}"
tests/sim/simulate-ring --every-mark --seeds "${SEEDS_FIXED:-400}" 1

# The same seed is the same run.
first=$(tests/sim/simulate-ring 7)
[ "$first" = "$(tests/sim/simulate-ring 7)" ]
[ -z "${SANITIZERS:-}" ] || exit 0

MUTANTS=ring-list MUTANT_TARGET=mutant-ring "$BASH" "${top_srcdir:?}/tests/sim/mutants/plant.sh" \
    message-before-sleep-is-not-seen completion-is-delivered-twice
