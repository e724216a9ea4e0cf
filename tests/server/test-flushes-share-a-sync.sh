#!/bin/bash
# FLUSHes and FUA of many connections at once are all answered, and share syncs of the image: storage is asked less often
# than we are, and never for two at a time.
. "$(dirname "$0")/../support/functions.sh"

# What plugins of others do not give back is not ours.
export ASAN_OPTIONS="${ASAN_OPTIONS:+$ASAN_OPTIONS:}detect_leaks=0"
plugin=${top_builddir:-.}/tests/support/nbdkit-order-plugin.so
[ -e "$plugin" ] || fail "$plugin was not built; make check does that"
plugin=$(realpath "$plugin")

image=$(temp_file)
truncate --size=1M "$image"
start_nbdcrypt --raw --threads 3 "$image"
python "$source_dir/tests/server/flushes-share-a-sync.py" "$uri" </dev/null
stop_nbdcrypt

calls=$test_dir/calls
start_nbdcrypt --raw --threads 3 "nbdkit:$plugin?log=$calls&model=3"
python - "$uri" <<'PYTHON_END'
import sys
from nbd_client import *

clients = [Client(sys.argv[1]) for _ in range(6)]
for _ in range(50):
    for client in clients:
        client.send(CMD_FLUSH)
for client in clients:
    equal("replies", len([reply.check() for reply in client.receive_all().values()]), 50)
    client.disconnect()
PYTHON_END
stop_nbdcrypt
flushes=$(grep -c ' flush ' "$calls")
[ "$flushes" -lt 200 ] || fail "300 FLUSHes at once were $flushes of the plugin"
expect_match "$calls" 'unload, at most 1 calls at a time'
