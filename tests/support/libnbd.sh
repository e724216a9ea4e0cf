# shellcheck shell=bash
# shellcheck disable=SC2154 # what functions.sh sets
# libnbd's asynchronous calls as the client; after functions.sh.  tests/libnbd/libnbd-client.c says what each test does.

libnbd_client=$(dirname "$NBDCRYPT")/tests/libnbd/libnbd-client
if [ ! -x "$libnbd_client" ]; then
    [ "${CI-}" != true ] || fail "libnbd-client was not built: libnbd-dev is not here, and CI must install it"
    skip "libnbd-client was not built: install libnbd-dev (Fedora: libnbd-devel), and run configure again"
fi

# expect_right TEST URI...: all answers are.
expect_right() {
    "$libnbd_client" "$@" >"$log_dir/libnbd-client" 2>&1 || fail "libnbd-client $*: $(cat "$log_dir/libnbd-client")"
    tail -n 2 "$log_dir/libnbd-client"
}
