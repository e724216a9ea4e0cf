#!/bin/bash
# With --metrics-tls metrics are for those whose certificate verifies, as on the ports of NBD, and whom a rule of --metrics-allow
# lets in; a reload reads the files again; a handshake takes neither time nor memory from others.
. "$(dirname "$0")/../support/functions.sh"
. "$(dirname "$0")/../support/tls.sh"

case $("$NBDCRYPT" serve --metrics-listen 127.0.0.1:0 --metrics-tls 2>&1 || true) in
*'without libmicrohttpd'*) skip "nbdcrypt was built without libmicrohttpd" ;;
*'has no TLS'*) skip "the libmicrohttpd of this machine has no TLS" ;;
esac
make_pki

# ---- options ----
refused_option() { # SENTENCE [OPTION...]
    expect_failure 2 "$1" serve --raw memory:1M "${@:2}"
}
refused_option "--metrics-tls means nothing without --metrics-listen or --metrics-unix" --metrics-tls
refused_option "--metrics-tls is for --metrics-listen: there is none" --metrics-tls --metrics-unix "$test_dir/x"
refused_option "--metrics-certificates is for --metrics-tls: say that, too" --metrics-listen 127.0.0.1:0 --metrics-certificates "$pki/server"
refused_option "--metrics-tls: there is no certificate: give --metrics-certificates, or --tls-certificates, which is then used, too" \
    --metrics-listen 127.0.0.1:0 --metrics-tls
refused_option "--metrics-tls: with --tls-no-verify-peer strangers could ask who the clients are: give --metrics-certificates, with a ca-cert.pem" \
    --metrics-listen 127.0.0.1:0 --metrics-tls --tls-certificates "$pki/server" --tls-no-verify-peer
refused_option "--metrics-tls and --metrics-insecure contradict each other: leave out one of the two" \
    --metrics-listen 0.0.0.0:0 --metrics-tls --metrics-insecure --metrics-certificates "$pki/server"
refused_option "--metrics-allow: who: a rule is 'any', or begins with cert:, dns:, uri:, psk:, uid:, gid: or net:" --metrics-listen 127.0.0.1:0 --metrics-allow who
run_nbdcrypt serve --raw memory:1M --unix "$(temp_socket)" --metrics-listen 127.0.0.1:0 --metrics-tls \
    --metrics-certificates "$pki/server-mismatch"
expect_equal "status with a key of another certificate" 1 "$status"
expect_match "$err" "metrics: $pki/server-mismatch/server-key.pem"

start() { # [OPTION...]: sets $metrics, the port
    start_nbdcrypt --raw memory:1M --metrics-tls "$@"
    expect_match "$server_log" 'notice: metrics: https://'
    metrics=$(sed -nE 's|.*metrics: https://[^/]*:([0-9]+)/$|\1|p' "$server_log")
}
as() { # WHAT...: what came of it
    python "$source_dir/tests/metrics/tls-needs-a-certificate.py" "$pki" "$metrics" "$@" </dev/null | paste -sd' '
}

# ---- its own certificate, on an address that others reach; NBD has no TLS ----
start --metrics-listen 0.0.0.0:0 --metrics-certificates "$pki/server"
expect_equal "who may ask" "client: 200 -: refused other-ca: refused expired: refused wrong-purpose: refused revoked: refused plain: refused endless: refused" \
    "$(as client - other-ca expired wrong-purpose revoked plain endless)"
expect_match "$server_log" 'warning: client 127.0.0.1:[0-9]+: metrics: TLS handshake failed: .*revoked'
expect_match "$server_log" 'notice: client 127.0.0.1:[0-9]+: metrics: TLS handshake failed: it takes a certificate'
expect_equal "a crowd of handshakes" "crowd: 200" "$(as crowd)"
expect_alive
stop_nbdcrypt

# ---- that of NBD, and rules ----
start --metrics-listen 127.0.0.1:0 --metrics-unix "$test_dir/http" --tls-certificates "$pki/server" --metrics-allow cert:CN=nobody \
    --metrics-allow "uid:$(($(id -u) + 1))"
expect_equal "whom no rule names" "client: 403 -: refused" "$(as client -)"
expect_match "$server_log" 'metrics: refused: no --metrics-allow rule matches'
"$PYTHON" -c 'import sys; from metrics_text import get; sys.exit(get(sys.argv[1], "/metrics")[0] != 403)' "$test_dir/http" ||
    fail "who has no certificate may ask on the Unix socket"
stop_nbdcrypt
start --metrics-listen 127.0.0.1:0 --tls-certificates "$pki/server" --metrics-allow cert:CN=nobody --metrics-allow cert:CN=vm7
expect_equal "whom a rule names" "client: 200 -: refused" "$(as client -)"
stop_nbdcrypt

# ---- new files ----
for own in yes no; do
    cp -r "$pki/server" "$test_dir/files-$own"
    if [ $own = yes ]; then
        start --metrics-listen 127.0.0.1:0 --metrics-certificates "$test_dir/files-$own"
    else
        start --metrics-listen 127.0.0.1:0 --tls-certificates "$test_dir/files-$own"
    fi
    expect_equal "before" "client: 200 revoked: refused" "$(as client revoked)"
    cp "$pki/server-none-revoked/"* "$test_dir/files-$own"
    kill -HUP "$pid"
    is_told() {
        grep -q "$1" "$server_log"
    }
    wait_until 20 is_told "the TLS files were read again; new connections use them"
    expect_equal "after a reload" "client: 200 revoked: 200" "$(as client revoked)"
    echo broken >"$test_dir/files-$own/server-key.pem"
    kill -HUP "$pid"
    wait_until 20 is_told "error: .*stay in force"
    expect_equal "after bad files" "client: 200 revoked: 200" "$(as client revoked)"
    stop_nbdcrypt
done
