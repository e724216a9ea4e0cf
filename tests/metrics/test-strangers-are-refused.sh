#!/bin/bash
# Over HTTP there are four paths to look at, for those who call the server by a name of its own: nothing else is answered, nothing
# can be changed, and who is slow or sends much goes.
. "$(dirname "$0")/../support/functions.sh"

case $("$NBDCRYPT" serve --metrics-listen 127.0.0.1:0 2>&1 || true) in
*'without libmicrohttpd'*) skip "nbdcrypt was built without libmicrohttpd" ;;
esac

# ---- options ----
expect_failure 2 "--metrics-listen 0.0.0.0:1: other machines could ask there without TLS who the clients are; say \
--metrics-tls, listen on a loopback address with a proxy in front of it, or say --metrics-insecure" serve --metrics-listen 0.0.0.0:1 memory:1M --raw
expect_failure 2 "--metrics-listen [::]:1: other machines could ask there without TLS who the clients are; say --metrics-tls, \
listen on a loopback address with a proxy in front of it, or say --metrics-insecure" serve --metrics-listen '[::]:1' memory:1M --raw
expect_failure 2 "--metrics-hosts means nothing without --metrics-listen or --metrics-unix" serve --metrics-hosts a memory:1M --raw
expect_failure 2 "--metrics-hosts a:1: it is the name of a host, without a port" serve --metrics-unix x --metrics-hosts a:1 memory:1M --raw
expect_failure 2 "--metrics-exports some: it is full, basic or off" serve --metrics-exports some memory:1M --raw
expect_failure 2 "--metrics-unix: the path is empty" serve --metrics-unix= memory:1M --raw

# ---- requests ----
http=$(temp_socket)
start_nbdcrypt --control none --metrics-listen 127.0.0.1:0 --metrics-unix "$http" --metrics-hosts nbd.example.org \
    --raw memory:1M
expect_match "$server_log" 'notice: metrics: http://127.0.0.1:[0-9]+/$'
expect_equal "mode of the socket" 660 "$(stat --format=%a "$http")"
port=$(sed -nE 's|.*metrics: http://127.0.0.1:([0-9]+)/$|\1|p' "$server_log")
"$PYTHON" "$source_dir/tests/metrics/strangers-are-refused.py" "$http" "$port" "$uri"
expect_alive
stop_nbdcrypt
[ ! -e "$http" ] || fail "the socket is still there"
[ "$(complaints | grep -cv 'the sandbox is not whole')" -eq 0 ] || fail "it complains: $(complaints)"
