#!/bin/bash
# Whatever offset a file system gives for the next data or hole (one in user space may give any): BLOCK_STATUS is answered,
# inside the range that was asked for, in finite time, and the server stays.
. "$(dirname "$0")/../support/functions.sh"

! is_sanitized || skip "a sanitizer's library has to come first, and here another one is preloaded"
image=$(temp_file)
truncate --size=1M "$image"
seek=$(realpath "${top_builddir:-.}/tests/support/odd-lseek.so")

for how in back stay data-back far; do
    ODD_LSEEK=$how LD_PRELOAD=$seek start_nbdcrypt --raw "$image"
    python - "$uri" <<'EOF'
import sys
from nbd_client import *

with Client(sys.argv[1]) as client:
    for offset, length in (0, 1 << 20), (4096, 8192), ((1 << 20) - 1, 1):
        for flags in 0, F_REQ_ONE:
            told = sum(extent for extent, _ in client.extents(offset, length, flags))
            if not 0 < told <= length:
                raise SystemExit(f"{told} of {length} bytes at {offset} were told of")
EOF
    expect_alive
    stop_nbdcrypt
done
