#!/bin/bash
# The simulation finds bugs: some of those in tests/sim/mutants/list are planted, one after the other, and each is found.
# (All of them: make check-mutants.)
set -euo pipefail

cd "${top_builddir:?}"
if [ -n "${SANITIZERS:-}" ]; then
    echo "skipped: it is the simulation that is tested here, and says the same without sanitizers"
    exit 77
fi
"$BASH" "${top_srcdir:?}/tests/sim/mutants/plant.sh" fua-ignored no-range-lock short-transfer-counts-as-whole \
    answered-by-the-first-fragment streams-are-mixed shared-release-wakes-nobody
