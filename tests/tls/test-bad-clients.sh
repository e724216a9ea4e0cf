#!/bin/bash
# Clients that prove the wrong thing are refused with a sentence that says what to do, and harm nobody.
. "$(dirname "$0")/../support/functions.sh"
. "$(dirname "$0")/../support/tls.sh"
requires nbdinfo --version
requires_python_module ssl

make_pki
make_psk
day_after() {
    date --utc --date="$1 days" +%Y-%m-%d
}
start_tls_nbdcrypt --tls-certificates "$pki/server" --tls-psk "$psk" --raw memory:1M

refused=0
has_refused() {
    [ "$(grep -c 'TLS refused' "$server_log")" -ge "$1" ]
}

# expect_refused URI SENTENCE (an extended regular expression)
expect_refused() {
    local before

    before=$(wc -l <"$server_log")
    refused=$((refused + 1))
    ! timeout 20 nbdinfo --size "$1" >"$log_dir/refused" 2>&1 || fail "$1 is served"
    wait_until 10 has_refused "$refused"
    tail -n +$((before + 1)) "$server_log" >"$log_dir/last"
    expect_match "$log_dir/last" " client 127\.0\.0\.1:[0-9]+: TLS refused: $2\$"
    nbdinfo --size "$(x509_uri client)" >"$log_dir/alive" 2>&1 || fail "a good client is not served after $1"
}

expect_refused "$(x509_uri other-ca)" \
    'its certificate CN=stranger was not issued by the CA in ca-cert.pem: give the client one of that CA'
expect_refused "$(x509_uri expired)" \
    "its certificate CN=expired expired on $(day_after -10): issue a new one"
expect_refused "$(x509_uri future)" \
    "its certificate CN=future is valid from $(day_after 10) on only: look at the clock of this machine, .*"
expect_refused "$(x509_uri wrong-purpose)" \
    'its certificate CN=wrong-purpose is not for TLS clients \(extended key usage\): issue one for that purpose'
expect_refused "$(x509_uri revoked)" 'its certificate CN=revoked was revoked \(ca-crl.pem\): issue a new one .*'
expect_refused "$(x509_uri weak)" 'its certificate CN=weak is too weak .*: issue a stronger one'
expect_refused "$(x509_uri no-certificate)" 'it sent no certificate: give it one .*'
expect_refused "$(psk_uri alice "$wrong_psk")" \
    "its key for the PSK identity 'alice' is not the one in the file of --tls-psk: give both the same line"
expect_refused "$(psk_uri mallory "$wrong_psk")" \
    "there is no PSK identity 'mallory' in the file of --tls-psk: add it, or give the client another one"

# Under TLS 1.3 a client has begun to talk before it is refused.  It is told why all the same: what it sends is read until it
# closes, so the alert is not lost in a broken connection.
refused=$((refused + 1))
python "$source_dir/tests/tls/bad-clients-are-told-why.py" "$uri" "$pki" "$server_log" "$refused" </dev/null

# Old versions, by OpenSSL, which gets the alert that tells it so.
python "$source_dir/tests/tls/bad-clients-of-old-versions.py" "$uri" "$pki" </dev/null
expect_match "$server_log" 'TLS refused: it speaks a version of TLS that is too old'
expect_match "$server_log" \
    'TLS refused: .* (does|do) not trust this server.s certificate'

# One that goes without a word.
! nbdinfo --size "$(x509_uri trusts-other)" 2>/dev/null || fail "a client trusts a server that it can't know"
wait_until 10 grep -q 'the client closed the connection after it had seen this server' "$server_log"

# A name with a control character is shown, not obeyed; one with a NUL is no name.
nbdinfo --size "$(x509_uri nul-name)" >/dev/null
expect_match "$server_log" 'certificate CN=nul.{1,4}name$'
stop_nbdcrypt

# Those who need no certificate.
start_tls_nbdcrypt --tls-certificates "$pki/server-no-ca" --tls-no-verify-peer --raw memory:1M
for client in no-certificate client; do
    nbdinfo --size "$(x509_uri "$client")" >/dev/null
done
expect_match "$server_log" 'client not verified$'
stop_nbdcrypt
