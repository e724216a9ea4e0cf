#!/bin/bash
# Our TLS client and a server of OpenSSL understand each other, with any number of tickets, and while we change our
# keys; with each of the ciphers, by certificates and by a pre-shared key.
. "$(dirname "$0")/../support/functions.sh"

requires openssl version
client=$(dirname "$NBDCRYPT")/tests/support/tls-line-client
work=$(temp_dir)
cd "$work"
"$NBDCRYPT" tls init pki --host localhost >/dev/null
key=00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff
echo "alice:$key" >psk
chmod 600 psk
certificates=(-cert pki/server/server-cert.pem -key pki/server/server-key.pem)
psk=(-nocert -psk_identity alice -psk "$key")

# start_server OPTIONS...: its port is in $port.
start_server() {
    : >server-log # not the last one's
    openssl s_server -accept 127.0.0.1:0 -rev -naccept 1 "$@" >server-log 2>&1 </dev/null &
    server=$!
    remember_pid "$server"
    wait_until 10 grep -q ^ACCEPT server-log
    port=$(sed -n 's/^ACCEPT .*:\([0-9]*\)$/\1/p' server-log)
}

# speaks WHAT HOW FILE OPTIONS...: one session; WHAT is what the client's log says of it.
speaks() {
    local what=$1 how=$2 file=$3

    shift 3
    start_server "$@"
    timeout 60 "$client" "$port" "$how" "$file" >client-log 2>&1 || fail "$*: $(cat client-log server-log)"
    expect_match client-log "$what"
    expect_match client-log '^16 lines$'
    wait "$server" || true
}

for tickets in 0 2 12; do
    speaks 'TLS1.3, AES-128-GCM' certificates pki "${certificates[@]}" -num_tickets "$tickets" -ciphersuites TLS_AES_128_GCM_SHA256
done
export NBDCRYPT_TLS_RECORDS_PER_KEY=4
speaks 'TLS1.3, AES-256-GCM' certificates pki "${certificates[@]}" -ciphersuites TLS_AES_256_GCM_SHA384
speaks 'TLS1.3, CHACHA20-POLY1305' certificates pki "${certificates[@]}" -ciphersuites TLS_CHACHA20_POLY1305_SHA256
speaks 'TLS1.3, AES-128-GCM' psk psk "${psk[@]}" -tls1_3 -ciphersuites TLS_AES_128_GCM_SHA256
speaks 'TLS1.2, AES-' certificates pki "${certificates[@]}" -tls1_2
speaks 'TLS1.2, ' psk psk "${psk[@]}" -tls1_2 -cipher PSK

# As the server sees it, a client that wants another host is none.
"$NBDCRYPT" tls init other --host elsewhere.test >/dev/null
start_server -cert other/server/server-cert.pem -key other/server/server-key.pem
! timeout 60 "$client" "$port" certificates pki >client-log 2>&1 || fail "any server will do"
expect_match client-log "was not issued by the CA in ca-cert.pem"
