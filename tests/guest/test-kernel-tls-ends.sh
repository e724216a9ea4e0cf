#!/bin/bash
# Under kernel TLS a session ends as in user space: by close_notify from both sides; a client that is cut is named in
# the log.  What a client sends together with the end of its handshake is not lost.  Where the kernel can change keys
# (Linux 6.14), client and server do; where it can't, a client that does is dropped with a reason and an alert, and
# all are when the server's keys have served long enough.
. "$(dirname "$0")/../support/functions.sh"
. "$(dirname "$0")/../support/guest.sh"
. "$(dirname "$0")/../support/tls.sh"

client=$(dirname "$NBDCRYPT")/tests/support/ktls-client
requires test -x "$client"
make_pki
guest_add "$NBDCRYPT" /usr/bin/nbdcrypt
guest_add "$client" /usr/bin/ktls-client
guest_add "$pki/server" /pki/server

# NBDCRYPT_TLS_RECORDS_PER_KEY: the server changes its keys, or has to stop, in the middle of `many`.
guest_run -- <<'END' || fail "in the guest: $(cat "$guest_output")"
trap 'cat /log-*; grep Rekey /proc/net/tls_stat || true' EXIT
truncate -s 1M /disk
for serve in "on 0 close early half cut update" "off 0 close early half cut update" "on 12 many" "off 12 many"; do
    set -- $serve
    ktls=$1 records=$2
    shift 2
    NBDCRYPT_TLS_RECORDS_PER_KEY=$records nbdcrypt serve --verbose --listen 127.0.0.1:10809 --ktls "$ktls" \
        --tls-certificates /pki/server --tls-no-verify-peer --raw /disk >/ready 2>"/log-$ktls-$records" &
    server=$!
    wait_for /ready "$server" "/log-$ktls-$records"
    for how; do
        timeout 10 ktls-client "$how" 10809 | sed "s/^/$ktls: /"
    done
    kill "$server"
    wait "$server"
    sed -i "s/^/$ktls $records: /" "/log-$ktls-$records"
    rm /ready
done
END
for ktls in on off; do
    for how in close early half; do
        expect_message "$guest_output" "$ktls: $how: the end is close_notify"
    done
done
expect_message "$guest_output" "off: update 3: answered"
expect_message "$guest_output" "off: many 40: answered"
if grep -q '^on 0: .*the kernel: it has TLS for sockets$' "$guest_output"; then
    note "this kernel can change keys"
    expect_message "$guest_output" "on: update 3: answered"
    expect_message "$guest_output" "on: many 40: answered"
    # Three of the client; of ours two that it asked for, and several in `many`.
    expect_match "$guest_output" '^TlsRxRekeyOk\s+3$'
    expect_match "$guest_output" '^TlsTxRekeyOk\s+([7-9]|[1-9][0-9]+)$'
    expect_match "$guest_output" '^TlsTxRekeyError\s+0$'
    expect_equal "clients dropped" 0 "$(grep -c 'TLS: .*; dropped' "$guest_output" || true)"
else
    note "this kernel can't change keys"
    expect_match "$guest_output" '^on 0: .*the kernel: it has TLS for sockets, with keys that can.t be changed$'
    expect_message "$guest_output" "on: update 1: A TLS fatal alert has been received."
    expect_match "$guest_output" \
        'TLS: the client has changed its keys, which kernel TLS can.t follow: serve with --ktls off, or on Linux 6.14 or later; dropped$'
    # Twelve records have been sent, and close_notify behind them.
    expect_match "$guest_output" '^on: many [0-9]+: The TLS connection was non-properly terminated\.$'
    expect_match "$guest_output" '^on 12: .*its keys have served for as many records as AES-GCM allows, and this kernel can.t .*; dropped$'
fi
expect_equal "sessions of --ktls on in the kernel" 5 "$(grep -c '^on .*, kernel TLS$' "$guest_output")"
# Half a record had been read already, and can't be given back to the kernel.
expect_equal "sessions of --ktls on in user space" 1 "$(grep -c '^on .*, user space$' "$guest_output")"
expect_equal "clients that were cut" 2 "$(grep -c 'ended without close_notify' "$guest_output")"
