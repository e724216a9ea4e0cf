#!/bin/bash
# A seed says all: run twice, in two processes with addresses of their own, it gives the same events in the same
# order, also beside others and after others. Without that, a failure could not be looked at again.
set -euo pipefail

simulate=${top_builddir:?}/tests/sim/simulate
SEEDS=${SEEDS:-12}

together=$("$simulate" --traces --seeds "$SEEDS" 1 | grep trace)
apart=$("$simulate" --jobs 1 --traces --seeds $((SEEDS / 2)) $((SEEDS - SEEDS / 2 + 1)) | grep trace)
apart=$("$simulate" --jobs 1 --traces --seeds $((SEEDS - SEEDS / 2)) 1 | grep trace)$'\n'$apart
if [ "$together" != "$apart" ]; then
    echo "two runs differ:"
    diff <(echo "$together") <(echo "$apart")
    exit 1
fi
echo "$together"
