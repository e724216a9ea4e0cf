#!/bin/bash
# Under kernel TLS a session ends as in user space: by close_notify from both sides; a client that is cut is named in
# the log; one that changes its keys is dropped with a reason and an alert, and goes on where GnuTLS does the
# records.  What a client sends together with the end of its handshake is not lost.
. "$(dirname "$0")/functions.sh"
. "$(dirname "$0")/guest.sh"
. "$(dirname "$0")/tls.sh"

client=$(dirname "$NBDCRYPT")/tests/ktls-client
requires test -x "$client"
make_pki
guest_add "$NBDCRYPT" /usr/bin/nbdcrypt
guest_add "$client" /usr/bin/ktls-client
guest_add "$pki/server" /pki/server

guest_run -- <<'END' || fail "in the guest: $(cat "$guest_output")"
trap 'cat /log-on /log-auto' EXIT
truncate -s 1M /disk
for ktls in on auto; do
    nbdcrypt serve --verbose --listen 127.0.0.1:10809 --ktls "$ktls" --tls-certificates /pki/server \
        --tls-no-verify-peer --raw /disk >/ready 2>"/log-$ktls" &
    server=$!
    while [ ! -s /ready ]; do sleep 0.05; done
    for how in close early half cut update; do
        timeout 10 ktls-client "$how" 10809 | sed "s/^/$ktls: /"
    done
    kill "$server"
    wait "$server"
    rm /ready
done
END
for ktls in on auto; do
    for how in close early half; do
        expect_message "$guest_output" "$ktls: $how: the end is close_notify"
    done
done
expect_message "$guest_output" "on: after the update: A TLS fatal alert has been received."
expect_match "$guest_output" 'TLS: the client has changed its keys, which kernel TLS can.t follow: serve with --ktls off; dropped$'
expect_message "$guest_output" "auto: update: the end is close_notify"
expect_equal "sessions of --ktls on in the kernel" 4 "$(grep -c ', kernel TLS$' "$guest_output")"
# Half a record had been read already, and can't be given back to the kernel.
expect_equal "sessions of --ktls on in user space" 1 "$(grep -c ', user space$' "$guest_output")"
expect_equal "clients that were cut" 2 "$(grep -c 'ended without close_notify' "$guest_output")"
