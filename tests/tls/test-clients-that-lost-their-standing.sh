#!/bin/bash
# A client whose certificate expires while it is attached, is revoked, or whose key is taken from the file, is told to go,
# also when it says nothing.  Others stay.  With --tls-expired keep a certificate counts when a client comes, and not later.

. "$(dirname "$0")/../support/functions.sh"
. "$(dirname "$0")/../support/tls.sh"

requires_python_module nbd
script=$(dirname "$0")/clients-that-lost-their-standing.py

# ---- by time ----

for what in end keep; do
    folder=$(temp_dir)
    python "$script" make "$folder" 5 2>"$log_dir/make"
    start_tls_nbdcrypt --tls-certificates "$folder/server" --tls-expired $what --raw memory:1M
    python "$script" expired "nbds://localhost:$port/?tls-certificates=$folder/CLIENT" "$folder" $what
    if [ $what = end ]; then
        expect_match "$server_log" "\(CN=short\): its certificate has expired; its connection is ended"
    else
        ! grep -q "has expired" "$server_log" || fail "$(grep "has expired" "$server_log")"
    fi
    stop_nbdcrypt
done

# ---- by a reload ----

# gone FOLLOWS URI...: the first client is told to go when FOLLOWS has been done; the others stay.
gone() {
    local follows=$1 out_fd in_fd line

    shift
    coproc CLIENTS { exec "$PYTHON" "$script" gone "$@"; }
    # shellcheck disable=SC2153 # the shell sets it
    out_fd=${CLIENTS[0]} in_fd=${CLIENTS[1]} clients_pid=$CLIENTS_PID
    read -r -t 30 -u "$out_fd" line || fail "the clients do not attach"
    expect_equal "what they say" attached "$line"
    $follows
    kill -HUP "$pid"
    echo >&"$in_fd"
    wait "$clients_pid" || fail "the clients"
}

psk=$(temp_file)
echo alice:00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff >"$psk"
cp "$psk" "$test_dir/alice"
echo bob:ffeeddccbbaa99887766554433221100 >>"$psk"
cp "$psk" "$test_dir/both"
chmod 600 "$psk" "$test_dir/both" "$test_dir/alice"

revoke() {
    cp "$folder/ca-crl.pem" "$folder/server/"
}
remove_bob() {
    cp "$test_dir/alice" "$psk"
}
start_tls_nbdcrypt --tls-certificates "$folder/server" --tls-psk "$psk" --raw memory:1M
long="nbds://localhost:$port/?tls-certificates=$folder/long" key="tls-psk-file=$test_dir/both"
gone revoke "nbds://localhost:$port/?tls-certificates=$folder/revoked" "$long" "nbds://alice@localhost:$port/?$key"
expect_match "$server_log" "\(CN=revoked\): its certificate was revoked; its connection is ended"
gone remove_bob "nbds://bob@localhost:$port/?$key" "$long" "nbds://alice@localhost:$port/?$key"
expect_match "$server_log" "\(psk:bob\): its PSK identity is no longer in the file of --tls-psk; its connection is ended"
stop_nbdcrypt

expect_failure 2 "--tls-expired never: it is end or keep" serve --tls-certificates "$folder/server" --tls-expired never --raw memory:1M
expect_failure 2 "--tls-expired is about certificates: it means nothing without --tls-certificates" \
    serve --tls-psk "$psk" --tls-expired end --raw memory:1M
