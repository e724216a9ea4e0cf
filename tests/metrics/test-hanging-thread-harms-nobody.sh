#!/bin/bash
# The thread that answers HTTP hangs for ever: clients are served, the control socket answers, and the server ends in time.
. "$(dirname "$0")/../support/functions.sh"

requires curl --version
requires nbdinfo --version
! is_sanitized || skip "what is preloaded has no place under a sanitizer"
case $("$NBDCRYPT" serve --metrics-listen 127.0.0.1:0 2>&1 || true) in
*'without libmicrohttpd'*) skip "nbdcrypt was built without libmicrohttpd" ;;
esac

http=$(temp_socket) control=$(temp_socket)
hanging=$(dirname "$NBDCRYPT")/tests/support/hanging-http.so
[ -e "$hanging" ] || fail "tests/support/hanging-http.so is not built: make check TESTS="
export HANGING_HTTP=$test_dir/hangs
# What is preloaded makes a file, which is no image.
LD_PRELOAD=$hanging start_nbdcrypt --sandbox auto --control "$control" --metrics-unix "$http" --raw memory:1M
curl --silent --max-time 100 --unix-socket "$http" http://localhost/metrics >"$log_dir/curl" 2>&1 &
remember_pid $!
wait_until 30 test -e "$test_dir/hangs"
expect_alive
expect_success ctl --socket "$control" metrics
expect_match "$out" '^nbdcrypt_connections_attached_total\{transport="unix",tls="no"\} 1$'
expect_success ctl --socket "$control" add more memory:1M raw=yes
expect_success ctl --socket "$control" remove more
expect_success ctl --socket "$control" status
before=$SECONDS
stop_nbdcrypt
[ $((SECONDS - before)) -lt 20 ] || fail "the end took $((SECONDS - before)) s"
expect_match "$server_log" 'metrics: their thread hangs, and is left behind'
