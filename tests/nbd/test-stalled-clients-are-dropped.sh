#!/bin/bash
# A client that stops in the middle of a request, or takes no replies, for --stall-timeout is dropped, and its descriptor is
# back, on a Unix socket, TCP, and under TLS. One that is idle stays, and so does one that is slow.
. "$(dirname "$0")/../support/functions.sh"
. "$(dirname "$0")/../support/tls.sh"
requires_python_module ssl

make_pki

# expect_stalled_are_dropped OPTION...
expect_stalled_are_dropped() {
    local seconds=2

    ! is_sanitized || seconds=4
    NBDCRYPT_ALLOW_CORE=1 start_nbdcrypt --stall-timeout "$seconds" "$@" --raw memory:64M
    timeout 120 "$PYTHON" "$source_dir/tests/nbd/stalled-clients-are-dropped.py" "$uri" "$pki" "$pid" "$seconds" </dev/null
    # The kernel may be the first to notice that somebody takes nothing.
    expect_equal "messages" "3 stopped in the middle of a request
1 took no replies" "$(sed 's/connection lost: Connection timed out/took no replies/' "$server_log" |
        grep -oE 'stopped in the middle of a request|took no replies' | sort | uniq -c | sed 's/^ *//')"
    stop_nbdcrypt
}

expect_stalled_are_dropped
expect_stalled_are_dropped --listen 127.0.0.1:0
expect_stalled_are_dropped --listen 127.0.0.1:0 --tls-certificates "$pki/server"
