#!/bin/bash
# One user who holds 400 connections to the port of metrics, and comes again and again, shuts nobody out, also none of his own
# address or his own user: whoever sends his request is answered.
. "$(dirname "$0")/../support/functions.sh"

case $("$NBDCRYPT" serve --metrics-listen 127.0.0.1:0 2>&1 || true) in
*'without libmicrohttpd'*) skip "nbdcrypt was built without libmicrohttpd" ;;
esac
http=$(temp_socket)
start_nbdcrypt --control none --metrics-listen 127.0.0.1:0 --metrics-unix "$http" --raw memory:1M
expect_match "$server_log" 'metrics: http://'
port=$(sed -nE 's|.*metrics: http://127.0.0.1:([0-9]+)/$|\1|p' "$server_log")
"$PYTHON" "$source_dir/tests/metrics/nobody-is-shut-out.py" "$http" "$port"
expect_alive
stop_nbdcrypt
[ "$(complaints | grep -cv 'the sandbox is not whole')" -eq 0 ] || fail "it complains: $(complaints)"
