#!/bin/bash
# nbdkit and gnutls-serv refuse a client whom `nbdcrypt tls revoke` has revoked, by the list in the server's folder:
# also with a certificate that has been replaced. Others are still served.
. "$(dirname "$0")/../support/functions.sh"
. "$(dirname "$0")/../support/tls-peers.sh"

requires nbdkit --version
requires nbdinfo --version
requires gnutls-serv --version
disk=$(temp_file) work=$(temp_dir)
truncate --size=1M "$disk"
cd "$work"
"$NBDCRYPT" tls init pki --host localhost --client alice >/dev/null
"$NBDCRYPT" tls client pki mallory >/dev/null
cp -a pki/clients/mallory old-mallory
"$NBDCRYPT" tls client --force pki mallory >/dev/null
! cmp -s old-mallory/client-cert.pem pki/clients/mallory/client-cert.pem || fail "--force renewed nothing"

# serves CLIENT-FOLDER
serves() {
    timeout 30 nbdinfo --size "nbds://localhost:$port/?tls-certificates=$1" >"$log_dir/nbdinfo" 2>&1
}

start() {
    serve_by_nbdkit "$disk" --tls-certificates=pki/server --tls-verify-peer
}

start
for folder in pki/clients/alice pki/clients/mallory old-mallory; do
    serves "$folder" || fail "$folder is refused before it is revoked"
done
end_peer
expect_success tls revoke pki mallory
expect_match "$out" '^2 certificates of mallory are revoked\.$'
start
serves pki/clients/alice || fail "alice is refused"
! serves pki/clients/mallory || fail "nbdkit serves a revoked client"
! serves old-mallory || fail "nbdkit serves the replaced certificate of a revoked client"
end_peer

note "gnutls-serv"
# It can't be told to take any free port.
for ((attempt = 1; ; attempt++)); do
    port=$((20000 + RANDOM % 20000))
    gnutls-serv --port="$port" --echo --require-client-cert --verify-client-cert --x509cafile=pki/server/ca-cert.pem \
        --x509crlfile=pki/server/ca-crl.pem --x509certfile=pki/server/server-cert.pem \
        --x509keyfile=pki/server/server-key.pem >"$log_dir/gnutls-serv" 2>&1 </dev/null &
    pid=$!
    remember_pid "$pid"
    for ((i = 0; i < 200; i++)); do
        grep -q 'IPv4 .*done' "$log_dir/gnutls-serv" && break 2
        kill -0 "$pid" 2>/dev/null || break
        sleep 0.05
    done
    [ "$attempt" -lt 10 ] || fail "gnutls-serv does not start"
done
asks() {
    echo hello | timeout 30 gnutls-cli --port="$port" --x509cafile="$1/ca-cert.pem" \
        --x509certfile="$1/client-cert.pem" --x509keyfile="$1/client-key.pem" localhost >"$log_dir/gnutls-cli" 2>&1 &&
        grep -q '^hello' "$log_dir/gnutls-cli"
}
asks pki/clients/alice || fail "gnutls-serv refuses alice"
! asks pki/clients/mallory || fail "gnutls-serv serves a revoked client"
end_peer

note "revoking twice, and names that nobody has"
expect_success tls revoke pki mallory
expect_match "$out" '^All certificates of mallory had been revoked before\.$'
expect_failure 1 "'pki' has made no certificate for a client 'nobody'" tls revoke pki nobody
# A client of the server's name is not the server.
expect_failure 1 "'pki' has made no certificate for a client 'localhost'" tls revoke pki localhost
