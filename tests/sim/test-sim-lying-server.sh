#!/bin/bash
# Somebody between the server and its remote disk changes what that one says: nothing wrong is told to clients as right,
# nobody waits for ever, and once he is honest all goes on. Without TLS he knows what he changes, with TLS he does not.
set -euo pipefail

simulate=${top_builddir:?}/tests/sim/simulate
liar=(remote=1 store_deaths=1 lives=2 commands=150)

"$simulate" --needs lie_overlaps --seeds "${SEEDS_FIXED:-8}" 1 "${liar[@]}" lies=40 store_tls=0
"$simulate" --needs lie_about_the_disk --seeds "${SEEDS_FIXED:-8}" 101 "${liar[@]}" lies=150 store_tls=0 live_ms=0
"$simulate" --needs lie_under_tls --seeds "${SEEDS_FIXED:-4}" 201 "${liar[@]}" lies=40 store_tls=1
