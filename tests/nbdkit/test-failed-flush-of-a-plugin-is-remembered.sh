#!/bin/bash
# A plugin of nbdkit whose flush fails once, as fdatasync() does: from then on FLUSH and FUA fail, of all connections, and
# the exit status tells.
. "$(dirname "$0")/../support/functions.sh"

export ASAN_OPTIONS="${ASAN_OPTIONS:+$ASAN_OPTIONS:}detect_leaks=0"

plugin=${top_builddir:-.}/tests/support/nbdkit-order-plugin.so
[ -e "$plugin" ] || fail "$plugin was not built; make check does that"
plugin=$(realpath "$plugin")
lose=$test_dir/lose

# loses FUA HOW: with can_fua of this number; HOW is what finds out: FLUSH, FUA or the end.
loses() {
    local status=0

    start_nbdcrypt --raw --threads 2 "nbdkit:$plugin?size=1048576&fua=$1&lose=$lose"
    python - "$uri" "$lose" "$2" <<'PYTHON_END'
import sys
from nbd_client import *

uri, lose, how = sys.argv[1:]
a, b, c = clients = [Client(uri) for _ in range(3)]
for client in clients:
    client.write(0, b"x" * 4096)
    client.flush()
open(lose, "w").close()
if how == "FLUSH":
    equal("FLUSH", b.error_of(CMD_FLUSH), ENOSPC)
if how == "FUA":
    equal("WRITE with FUA", b.error_of(CMD_WRITE, 0, 512, F_FUA, b"x" * 512), ENOSPC)
if how != "end":
    for client in clients * 2:
        equal("FLUSH afterwards", client.error_of(CMD_FLUSH), EIO)
        equal("WRITE with FUA afterwards", client.error_of(CMD_WRITE, 0, 512, F_FUA, b"x" * 512), EIO)
        equal("WRITE afterwards", client.error_of(CMD_WRITE, 0, 512, 0, b"x" * 512), 0)
for client in clients:
    client.disconnect()
PYTHON_END
    kill -TERM "$pid"
    wait "$pid" || status=$?
    expect_equal "exit status when $2 finds out" 1 "$status"
    expect_equal "how often the log tells when $2 finds out" 1 "$(grep -c \
        "image '$plugin': it can't be made durable: No space left on device; what was written since the last good FLUSH" \
        "$server_log")"
}

for fua in 1 2; do
    for how in FLUSH FUA end; do
        loses "$fua" "$how"
    done
done
