#!/bin/bash
# When certificates are over, who was sent away and why, and storage that is not there: in metrics, and as warnings of the page.
. "$(dirname "$0")/../support/functions.sh"
. "$(dirname "$0")/../support/status-page.sh"
. "$(dirname "$0")/../support/tls.sh"

requires openssl version
requires nbdinfo --version
make_pki

storage_socket=$(temp_socket)
start_storage() {
    "$NBDCRYPT" serve --control none --unix "$storage_socket" --raw memory:1M >"$log_dir/storage" 2>&1 &
    storage=$!
    remember_pid "$storage"
    wait_until 30 test -S "$storage_socket"
    wait_until 30 nbdinfo --size "nbd+unix:///?socket=$storage_socket" >"$log_dir/storage-size" 2>&1
}
start_storage
control=$(temp_socket)
start_tls_nbdcrypt --control "$control" "${with_http[@]}" --handshake-timeout 1 --export plain=memory:1M,raw \
    --export "hidden=memory:1M,raw,allow=cert:CN=nobody" --export "far=nbd+unix:///?socket=$storage_socket,raw"

# value NAME[{LABELS}]
value() {
    "$NBDCRYPT" ctl --socket "$control" metrics | awk -v name="$1" '$1 == name { print $2 }'
}
is() {
    [ "$(value "$1")" = "$2" ]
}
is_more() {
    [ "$(value "$1")" -gt "$2" ]
}

for file in server:server-cert ca:ca-cert; do
    expect_equal "the end of ${file%:*}" \
        "$(date --date="$(openssl x509 -in "$pki/server/${file#*:}.pem" -noout -enddate | cut -d = -f 2)" +%s)" \
        "$(value "nbdcrypt_tls_certificate_expiry_timestamp_seconds{role=\"${file%:*}\"}")"
done
expect_equal "the end of the list" \
    "$(date --date="$(openssl crl -in "$pki/server/ca-crl.pem" -noout -nextupdate | cut -d = -f 2)" +%s)" \
    "$(value 'nbdcrypt_tls_certificate_expiry_timestamp_seconds{role="crl"}')"

# ---- clients ----
nbdinfo --size "$(x509_uri client plain)" >"$log_dir/client"
wait_until 20 is 'nbdcrypt_connections_attached_total{transport="tcp",tls="yes"}' 1
is 'nbdcrypt_handshake_duration_seconds_count{tls="yes"}' 1 || fail "its handshake was not counted"
! nbdinfo --size "$(x509_uri client hidden)" >"$log_dir/hidden" 2>&1 || fail "who may not attach did"
wait_until 20 is 'nbdcrypt_connections_rejected_total{reason="access"}' 1
! nbdinfo --size "$(x509_uri client none)" >"$log_dir/none" 2>&1 || fail "there is an export that is not there"
wait_until 20 is 'nbdcrypt_connections_rejected_total{reason="name"}' 1
! nbdinfo --size "$(x509_uri revoked plain)" >"$log_dir/revoked" 2>&1 || fail "who is revoked was served"
wait_until 20 is_more 'nbdcrypt_connections_rejected_total{reason="tls"}' 0
exec {silent}<>"/dev/tcp/127.0.0.1/$port"
wait_until 20 is 'nbdcrypt_connections_rejected_total{reason="timeout"}' 1
exec {silent}>&-
printf '\377\377\377\377' >"/dev/tcp/127.0.0.1/$port"
wait_until 20 is_more 'nbdcrypt_connections_rejected_total{reason="protocol"}' 0

# ---- handshakes of TLS ----
is 'nbdcrypt_tls_handshakes_total{result="success"}' 3 || fail "of three clients that TLS let in"
is nbdcrypt_tls_handshake_duration_seconds_count 3 || fail "their handshakes were not measured"
expect_equal "handshakes that failed" "$(value 'nbdcrypt_connections_rejected_total{reason="tls"}')" \
    "$(value 'nbdcrypt_tls_handshakes_total{result="failure"}')"
by=0
for one in nbdcrypt kernel gnutls; do
    by=$((by + $(value "nbdcrypt_tls_sessions_total{by=\"$one\"}")))
done
expect_equal "sessions, by what encrypts them" 3 "$by"

# ---- storage ----
is 'nbdcrypt_backend_up{export="far"}' 1 || fail "the storage is there"
nbdinfo --size "$(x509_uri client far)" >"$log_dir/far"
kill -KILL "$storage"
wait "$storage" 2>"$log_dir/wait" || true
wait_until 30 is 'nbdcrypt_backend_up{export="far"}' 0
is 'nbdcrypt_backend_up{export="plain"}' 1 || fail "other storage is there"
is_more nbdcrypt_backend_losses_total 0 || fail "the loss was not counted"
if [ ${#with_http[@]} -gt 0 ]; then
    "$PYTHON" -c 'import json, sys; from metrics_text import get
warnings = json.loads(get(sys.argv[1], "/status.json")[2])["warnings"]
assert "The storage of 1 export is not there: \x27far\x27" in warnings, warnings' "$http"
fi
rm -f "$storage_socket"
start_storage
wait_until 60 is 'nbdcrypt_backend_up{export="far"}' 1
is_more nbdcrypt_backend_reconnects_total 0 || fail "that it is back was not counted"
stop_nbdcrypt
