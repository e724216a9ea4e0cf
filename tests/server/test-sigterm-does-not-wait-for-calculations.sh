#!/bin/bash
# A server that is told to end does not wait for a calculation of a TLS handshake, whose client may have gone long ago: it
# answers and flushes what the others have sent, closes its images, and leaves with status 0.
. "$(dirname "$0")/../support/functions.sh"
. "$(dirname "$0")/../support/tls.sh"
requires_python_module ssl

[ -z "${SANITIZERS-}" ] || skip "a library can't be preloaded before the sanitizers' one"
preload=$(dirname "$NBDCRYPT")/tests/support/slow-handshakes.so
requires test -e "$preload"
make_pki
image=$(temp_file)

# ends_soon CASE OPTION...
ends_soon() {
    local case=$1 begin

    shift
    truncate --size=0 "$image"
    truncate --size=8M "$image"
    SLOW_HANDSHAKE_S=600 LD_PRELOAD=$preload start_tls_nbdcrypt --tls on --raw --shutdown-timeout 120 "$@" "$image"
    begin=$SECONDS
    python "$source_dir/tests/server/sigterm-does-not-wait-for-calculations-ends-soon.py" "${uri/nbds/nbd}" "$pki" "$pid" "$server_log" "$case" </dev/null
    wait_until 20 gone
    wait "$pid" || fail "status $? in the case $case"
    [ $((SECONDS - begin)) -lt 20 ] || fail "the end waited for a calculation: $case"
    expect_match "$server_log" 'ended beside TLS handshakes that are still being calculated'
    expect_equal "what was written" "safesafe" "$(dd if="$image" bs=4096 skip=1 count=1 status=none | head -c 8)"
}
gone() {
    [ ! -e "/proc/$pid" ] || [ "$(ps -o state= -p "$pid")" = Z ]
}

ends_soon there
ends_soon gone
ends_soon late --handshake-timeout 1
