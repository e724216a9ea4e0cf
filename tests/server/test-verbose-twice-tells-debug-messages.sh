#!/bin/bash
# -vv tells why requests of clients fail, and what a plugin of nbdkit says for debugging; -v does not.
. "$(dirname "$0")/../support/functions.sh"

# What plugins of others, and the interpreters in them, do not give back is not ours.
export ASAN_OPTIONS="${ASAN_OPTIONS:+$ASAN_OPTIONS:}detect_leaks=0"

plugin=${top_builddir:-.}/tests/support/nbdkit-order-plugin.so
[ -e "$plugin" ] || fail "$plugin was not built; make check does that"
plugin=$(realpath "$plugin")

# read_beyond_the_end: a request that fails.
read_beyond_the_end() {
    python - "$uri" <<'EOF'
import sys
import nbd_client as nbd

with nbd.Client(sys.argv[1]) as client:
    nbd.equal("error", client.error_of(nbd.CMD_READ, 1 << 40, 512), nbd.EINVAL)
EOF
}

for option in -v -vv; do
    start_nbdcrypt "$option" --raw "nbdkit:$plugin"
    read_beyond_the_end
    stop_nbdcrypt
    told=$(grep -c 'plugin .*: opened for' "$server_log" || true)
    failed=$(grep -c 'debug: .*lies beyond the end\|debug: .*READ' "$server_log" || true)
    if [ "$option" = -vv ]; then
        [ "$told" -gt 0 ] || fail "-vv does not tell what the plugin said"
        [ "$failed" -gt 0 ] || fail "-vv does not tell why a request failed"
    else
        expect_equal "debug messages with -v" "0 0" "$told $failed"
    fi
done
