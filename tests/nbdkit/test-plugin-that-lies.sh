#!/bin/bash
# What a plugin of nbdkit says is not believed: an error that is no errno is EIO for the client and no end of the server,
# and of more extents than an answer has room for none is told of with another's length.
. "$(dirname "$0")/../support/functions.sh"

plugin=$(realpath "${top_builddir:-.}/tests/support")/nbdkit-lying-plugin.so
[ -e "$plugin" ] || fail "tests/support/nbdkit-lying-plugin.so was not built"

for number in -1 -5 -2147483648 2147483647; do
    start_nbdcrypt --raw "nbdkit:$plugin?error=$number"
    python - "$uri" <<'EOF'
import sys
from nbd_client import *

with Client(sys.argv[1]) as client:
    equal("error", client.error_of(CMD_READ, 0, 4096), EIO)
EOF
    expect_alive
    stop_nbdcrypt
done

start_nbdcrypt --raw "nbdkit:$plugin"
python - "$uri" <<'EOF'
import sys
from nbd_client import *

with Client(sys.argv[1]) as client:
    for start in 0, 1024, 5000:
        at, rounds = start, 0
        while at < client.size:
            rounds += 1
            for length, kind in client.extents(at, client.size - at):
                equal(f"extent of {length} at {at}", (length, kind), (1024 - at % 1024, at // 1024 % 2 * (STATE_HOLE | STATE_ZERO)))
                at += length
        if rounds < 2:
            raise SystemExit("all of it fitted into one answer: this is no test")
EOF
stop_nbdcrypt
