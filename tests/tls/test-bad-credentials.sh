#!/bin/bash
# Certificates and keys that nobody should serve with, and options that contradict each other, are refused
# at start, each with a sentence.
. "$(dirname "$0")/../support/functions.sh"
. "$(dirname "$0")/../support/tls.sh"

make_pki
make_psk
serve=(serve --raw --unix "$(temp_socket)")
day_after() {
    date --utc --date="$1 days" +%Y-%m-%d
}
broken_pki() {
    broken=$(temp_dir)
    cp "$pki/server"/* "$broken"
}

# ---- options ----

expect_failure 2 "--tls require needs something to prove who this server is: give --tls-certificates DIR or --tls-psk FILE" \
    "${serve[@]}" --tls require memory:1M
expect_failure 2 "--tls off and --tls-psk contradict each other: leave out one of the two" \
    "${serve[@]}" --tls off --tls-psk "$psk" memory:1M
expect_failure 2 "--tls maybe: it is off, on, require-tcp or require" "${serve[@]}" --tls maybe --tls-psk "$psk" memory:1M
expect_failure 2 "--tls-verify-peer and --tls-no-verify-peer contradict each other" \
    "${serve[@]}" --tls-certificates "$pki/server" --tls-verify-peer --tls-no-verify-peer memory:1M
expect_failure 2 "--tls-no-verify-peer is about certificates: it means nothing without --tls-certificates" \
    "${serve[@]}" --tls-psk "$psk" --tls-no-verify-peer memory:1M
expect_failure 2 "--tls-priority means nothing without --tls-certificates or --tls-psk" \
    "${serve[@]}" --tls-priority NORMAL memory:1M
expect_failure 2 "--ktls maybe: it is auto, on or off" "${serve[@]}" --tls-psk "$psk" --ktls maybe memory:1M
expect_failure 2 "--ktls means nothing without --tls-certificates or --tls-psk" "${serve[@]}" --ktls on memory:1M
expect_failure 2 "export 'a' is tls-only, and there is no TLS: give --tls-certificates DIR or --tls-psk FILE" \
    "${serve[@]}" --export a=memory:1M,tls-only
expect_failure 1 "--tls-priority NORMAL:+NONSENSE: GnuTLS does not understand it from '+NONSENSE' on" \
    "${serve[@]}" --tls-psk "$psk" --tls-priority NORMAL:+NONSENSE memory:1M

# ---- certificates ----

# expect_refused FOLDER SENTENCE
expect_refused() {
    expect_failure 1 "$2" "${serve[@]}" --tls-certificates "$1" memory:1M
}

expect_refused "$pki/nothing" "$pki/nothing/server-cert.pem: there is no such file"
expect_refused "$pki/server-no-ca" "$pki/server-no-ca/ca-cert.pem is not there, so clients can't be told apart: \
put the CA of their certificates there, or say --tls-no-verify-peer to serve whoever comes"
expect_refused "$pki/server-expired" \
    "$pki/server-expired/server-cert.pem: the certificate expired on $(day_after -10): issue a new one"
expect_refused "$pki/server-future" "$pki/server-future/server-cert.pem: the certificate is valid from \
$(day_after 10) on only: look at the clock of this machine, or issue a new one"
expect_refused "$pki/server-weak" "$pki/server-weak/server-cert.pem: its key is too weak (RSA of 1024 bits): \
make one of ECDSA P-256, or RSA of 2048 bits or more"
expect_refused "$pki/server-sha1" "$pki/server-sha1/server-cert.pem: it is signed with SHA1, which can be \
forged: issue it again with SHA-256"
expect_refused "$pki/server-mismatch" "$pki/server-mismatch/server-key.pem is not the key of the certificate \
in $pki/server-mismatch/server-cert.pem: take the pair that was made together"
expect_refused "$pki/server-client-purpose" "$pki/server-client-purpose/server-cert.pem: this certificate is \
not for TLS servers (extended key usage): clients would refuse it; issue one for that purpose"

broken_pki
echo "no certificate" >"$broken/server-cert.pem"
run_nbdcrypt "${serve[@]}" --tls-certificates "$broken" memory:1M
expect_match "$err" "^nbdcrypt: $broken/server-cert.pem: it holds no certificate in PEM form"
broken_pki
echo "no key" >"$broken/server-key.pem"
run_nbdcrypt "${serve[@]}" --tls-certificates "$broken" memory:1M
expect_match "$err" "^nbdcrypt: $broken/server-key.pem: it holds no private key in PEM form"
broken_pki
openssl pkcs8 -topk8 -in "$pki/server/server-key.pem" -passout pass:x -out "$broken/server-key.pem"
expect_refused "$broken" "$broken/server-key.pem: the key is protected by a password, which nobody is there to \
give: store it without one, readable by this user alone"
broken_pki
cp "$pki/server/ca-cert.pem" "$broken/ca-crl.pem"
run_nbdcrypt "${serve[@]}" --tls-certificates "$broken" memory:1M
expect_match "$err" "^nbdcrypt: $broken/ca-crl.pem: it is not a list of revoked certificates"
if [ "$(id -u)" -ne 0 ]; then
    broken_pki
    chmod 0 "$broken/server-key.pem"
    expect_refused "$broken" "$broken/server-key.pem: uid $(id -u) may not read it"
fi

# ---- pre-shared keys: the line is named, and never what is in it ----

# expect_bad_psk LINE SENTENCE TEXT-OF-THE-FILE
expect_bad_psk() {
    local file

    file=$(temp_file)
    printf '%s' "$3" >"$file"
    expect_failure 1 "$file, line $1: $2; a line is IDENTITY:KEY as psktool writes it, with a key of at least \
16 bytes" "${serve[@]}" --tls-psk "$file" memory:1M
}

key=00112233445566778899aabbccddeeff
expect_bad_psk 2 "there is no colon between identity and key" "alice:$key"$'\n'"bob$key"
expect_bad_psk 1 "there is no identity before the colon" ":$key"
expect_bad_psk 1 "the key is not hexadecimal" "alice:${key}0g"
expect_bad_psk 1 "the key is not hexadecimal" "alice:${key}0"
expect_bad_psk 1 "the key is shorter than 16 bytes" "alice:${key:2}"

# An identity that `tls psk` would not write is not served, and both say it in the same words.
# expect_bad_identity IDENTITY SENTENCE [AS-SHOWN]
expect_bad_identity() {
    local file

    file=$(temp_file)
    printf '%s:%s\n' "$1" "$key" >"$file"
    expect_failure 1 "$file, line 1: its identity can't be used: $2" "${serve[@]}" --tls-psk "$file" memory:1M
    run_nbdcrypt tls psk "$file" "$1"
    expect_equal "status of tls psk" 2 "$status"
    found_in "$err" -F "can't be the name of a user: $2" || fail "tls psk says something else of '$1'"
}
long=$(printf '%0128d' 0)
expect_bad_identity $'al\tice' "it has control characters, or is not UTF-8"
expect_bad_identity $'al\xff' "it has control characters, or is not UTF-8"
expect_bad_identity "${long}0" "it has more than 128 bytes"
expect_bad_identity '#616c' "a '#' in front is a mark in the file: what is behind it would be hexadecimal"
expect_bad_identity ' alice' "it begins or ends with a blank"
longest=$(temp_file)
expect_success tls psk "$longest" "$long"
start_tls_nbdcrypt --tls-psk "$longest" --raw memory:1M
stop_nbdcrypt
twice=$(temp_file)
printf 'alice:%s\nbob:%s\n\nalice:%s\n' "$key" "$key" "$key" >"$twice"
expect_failure 1 "$twice: the identity 'alice' is there twice: remove one line" \
    "${serve[@]}" --tls-psk "$twice" memory:1M
expect_failure 1 "$twice.not: there is no such file" "${serve[@]}" --tls-psk "$twice.not" memory:1M

# ---- what is used, with a warning ----

chmod 711 "$test_dir" # else nobody gets there
chmod 644 "$psk"
start_tls_nbdcrypt --tls-psk "$psk" --raw memory:1M
expect_message "$server_log" "nbdcrypt: $psk: everybody may read it, and it holds a key: chmod 600 it"
stop_nbdcrypt
