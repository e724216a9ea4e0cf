#!/bin/bash
# SIGHUP reads certificates, revocations and keys again; bad files change nothing; sessions go on.
. "$(dirname "$0")/../support/functions.sh"
. "$(dirname "$0")/../support/tls.sh"
requires nbdinfo --version

make_pki
make_psk
folder=$(temp_dir)
cp "$pki/server"/* "$folder"
rm "$folder/ca-crl.pem"
start_tls_nbdcrypt --tls-certificates "$folder" --tls-psk "$psk" --raw memory:1M

reload() {
    local before

    before=$(grep -c 'TLS files were read again' "$server_log" || true)
    kill -HUP "$pid"
    wait_until 10 has_reloaded "$((before + 1))"
}
has_reloaded() {
    [ "$(grep -c 'TLS files were read again' "$server_log")" -ge "$1" ]
}

nbdinfo --size "$(x509_uri revoked)" >/dev/null
! nbdinfo --size "$(psk_uri mallory "$wrong_psk")" 2>/dev/null || fail "mallory is served"

cp "$pki/server/ca-crl.pem" "$folder"
cat "$wrong_psk" >"$psk"
reload
! nbdinfo --size "$(x509_uri revoked)" 2>/dev/null || fail "a revoked certificate is accepted after SIGHUP"
nbdinfo --size "$(x509_uri client)" >/dev/null
nbdinfo --size "$(psk_uri mallory "$wrong_psk")" >/dev/null

# A list that is gone, a link to nowhere and a list that is none let nobody in again; an empty one of the CA does.
for lost in "" "ln -s nowhere" "cp $pki/server/server-cert.pem"; do
    rm -f "$folder/ca-crl.pem"
    # shellcheck disable=SC2086 # words of a command
    [ -z "$lost" ] || $lost "$folder/ca-crl.pem"
    reload
    ! nbdinfo --size "$(x509_uri revoked)" 2>/dev/null || fail "a revoked certificate is accepted after '$lost'"
    nbdinfo --size "$(x509_uri client)" >/dev/null
done
expect_match "$server_log" "error: the TLS files were read again, and those that were read before stay in force: \
$folder/ca-crl.pem was there before and is gone: put back the list of revoked certificates; an empty list of the CA"
cp "$pki/server-none-revoked/ca-crl.pem" "$folder"
reload
nbdinfo --size "$(x509_uri revoked)" >/dev/null
cp "$pki/server/ca-crl.pem" "$folder"
reload

cp "$pki/server-mismatch/server-key.pem" "$folder"
reload
expect_match "$server_log" 'those that were read before stay in force: .*server-key.pem is not the key of'
nbdinfo --size "$(x509_uri client)" >/dev/null

# A file of keys without any is nobody's: the last key that was there is not in force any more.  One that can't be read
# changes nothing.
cp "$pki/server/server-key.pem" "$folder"
mv "$psk" "$psk.away"
reload
nbdinfo --size "$(psk_uri mallory "$wrong_psk")" >/dev/null
printf '\n' >"$psk"
reload
expect_match "$server_log" "$psk: there is no key in it, so nobody gets in by one: nbdcrypt tls psk makes one$"
! nbdinfo --size "$(psk_uri mallory "$wrong_psk")" 2>/dev/null || fail "a key that was removed is accepted after SIGHUP"
nbdinfo --size "$(x509_uri client)" >/dev/null

# A session that began before lives on.
python "$source_dir/tests/tls/reload.py" "$uri" "$pki" "$pid" </dev/null
stop_nbdcrypt

# So it is at the start: a server comes back with what it had.
: >"$psk"
start_tls_nbdcrypt --tls-psk "$psk" --raw memory:1M
! nbdinfo --size "$(psk_uri mallory "$wrong_psk")" 2>/dev/null || fail "somebody gets in without a key"
expect_success tls psk "$psk" alice
reload
nbdinfo --size "$(psk_uri alice)" >/dev/null
expect_success tls psk --remove "$psk" alice
cp "$psk" "$psk.empty"
expect_equal "size of the file" 0 "$(size_of "$psk.empty")"
reload
! nbdinfo --size "$(psk_uri alice "$wrong_psk")" 2>/dev/null || fail "alice has no key any more"
stop_nbdcrypt
