#!/bin/bash
# `nbdcrypt tls show` tells the state of certificates that certtool and psktool made, in a table and in JSON, its
# exit status tells whether all can be used, and no key is ever shown.
. "$(dirname "$0")/../support/functions.sh"

requires certtool --version
requires psktool --version
work=$(temp_dir)
cd "$work"
exec 3>"$log_dir/certtool"

# key NAME [OPTION...], then certificate NAME TEMPLATE-LINE...: by the authority of `certtool`.
key() {
    local name=$1

    shift
    certtool --generate-privkey --outfile "$name-key.pem" "${@:---key-type=ecdsa}" >&3 2>&3
}

certificate() {
    local name=$1

    shift
    printf '%s\n' "cn = \"${name##*/}\"" "$@" >template
    certtool --generate-certificate --template template --load-privkey "$name-key.pem" \
        --load-ca-privkey ca/ca-key.pem --load-ca-certificate ca/ca-cert.pem --outfile "$name-cert.pem" >&3 2>&3
}

# state FILE: in the last report.
state() {
    python - "$out" "$1" <<'END'
import json
import sys

found = [item for item in json.load(open(sys.argv[1]))["items"] if item["file"] == sys.argv[2]]
assert len(found) == 1, found
assert found[0]["usable"] == (not found[0]["problems"])
print(found[0]["state"])
END
}

# expect_state FILE STATE: in a report about the folder, in the table, and in one about the file.
expect_state() {
    run_nbdcrypt tls show --json box
    expect_equal "state of $1 in box" "$2" "$(state "$1")"
    run_nbdcrypt tls show box
    expect_match "$out" "^$1 +$2  "
    run_nbdcrypt tls show "$1"
    case $2 in
    ok | expires*) expect_equal "status for $1" 0 "$status" ;;
    *) expect_equal "status for $1" 1 "$status" ;;
    esac
    expect_match "$out" "^$1 +$2  "
    [ ! -s "$err" ] || fail "show wrote: $(cat "$err")"
}

mkdir ca box
certtool --generate-privkey --key-type=ecdsa --outfile ca/ca-key.pem >&3 2>&3
printf '%s\n' 'cn = "certtool CA"' ca cert_signing_key crl_signing_key expiration_days=900 >template
certtool --generate-self-signed --template template --load-privkey ca/ca-key.pem --outfile ca/ca-cert.pem >&3 2>&3
cp ca/ca-cert.pem ca/ca-key.pem box/

good=(expiration_days=400 tls_www_client signing_key)
for name in good soon old early mixed open orphan secret gone; do key "box/$name"; done
certificate box/good "${good[@]}" 'dns_name = "x.example.org"' 'uri = "urn:x:y"' 'ip_address = "192.0.2.1"'
certificate box/soon expiration_days=12 tls_www_client
certificate box/old 'activation_date = "2020-01-01 00:00:00 UTC"' 'expiration_date = "2021-01-01 00:00:00 UTC"'
certificate box/early 'activation_date = "2120-01-01 00:00:00 UTC"' 'expiration_date = "2121-01-01 00:00:00 UTC"'
certificate box/mixed "${good[@]}"
certificate box/open "${good[@]}"
certificate box/secret "${good[@]}"
certificate box/gone "${good[@]}"
key box/mixed
chmod 0644 box/open-key.pem
openssl pkcs8 -topk8 -in box/secret-key.pem -passout pass:x -out box/secret-new 2>&3
mv box/secret-new box/secret-key.pem
key box/rsa --key-type=rsa --bits=1024
certificate box/rsa "${good[@]}"
key box/server
certificate box/server "${good[@]}"
key box/client
certificate box/client "${good[@]}"
rm box/client-key.pem
printf '%s\n' expiration_days=300 crl_number=7 >template
certtool --generate-crl --template template --load-ca-privkey ca/ca-key.pem --load-ca-certificate ca/ca-cert.pem \
    --load-certificate box/gone-cert.pem --outfile box/ca-crl.pem >&3 2>&3
"$NBDCRYPT" tls init other --host localhost >/dev/null
cp other/clients/client/client-cert.pem box/foreign-cert.pem
printf -- '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n' >box/broken.pem
psktool -u alice -p box/users.psk >&3 2>&3
psktool -u a:b -p box/users.psk >&3 2>&3
psktool -u weak -s 8 -p box/weak.psk >&3 2>&3
printf 'alice:00112233445566778899aabbccddeeff\nnonsense\n' >box/bad.psk
printf 'u:00112233445566778899aabbccddeeff\nu:00112233445566778899aabbccddeeff\n' >box/twice.psk
chmod 0600 box/*.psk

expect_state box/ca-cert.pem ok
expect_state box/good-cert.pem ok
run_nbdcrypt tls show box/soon-cert.pem
expect_equal "status of what expires soon" 0 "$status"
expect_match "$out" '^box/soon-cert.pem +expires in 1[12] days  '
expect_state box/old-cert.pem expired
expect_state box/early-cert.pem 'not yet valid'
expect_state box/mixed-cert.pem 'key does not match'
expect_state box/open-cert.pem 'key readable by others'
expect_state box/secret-cert.pem 'key is encrypted'
expect_state box/gone-cert.pem revoked
expect_state box/rsa-cert.pem weak
expect_state box/server-cert.pem 'not for servers'
expect_state box/client-cert.pem 'its key is missing'
expect_state box/foreign-cert.pem 'not made by the authority here'
expect_state box/orphan-key.pem 'its certificate is missing'
expect_state box/users.psk ok
expect_state box/weak.psk weak
expect_state box/bad.psk 'line 2 is not USER:KEY with a key in hexadecimal'
expect_state box/twice.psk 'a user is there twice'
expect_state box/ca-crl.pem ok
run_nbdcrypt tls show box
expect_equal "status of the whole box" 1 "$status"
expect_match "$out" '^box/broken\.pem +can.t be read: '
expect_match "$out" '^box/good-cert.pem +ok  .* DNS:x\.example\.org,URI:urn:x:y,IP:192\.0\.2\.1$'
expect_match "$out" '^box/users\.psk .* alice,a:b$'
expect_match "$out" '^box/ca-crl\.pem +ok +1 revoked '
expect_match "$out" '^box/mixed-cert.pem .* client +CN=mixed +20[0-9-]+ +20[0-9-]+ +39[89]|400 +CN=certtool CA '

note "no key is shown"
run_nbdcrypt tls show --json box
cut -d : -f 2 box/*.psk | while read -r secret; do
    ! grep -qF "$secret" "$out" "$err" || fail "a pre-shared key is shown"
done

note "a folder as init makes it, and what holds nothing"
expect_success tls show other
expect_success tls show --json other/server
expect_equal "usable" True "$(python -c 'import json, sys; print(json.load(open(sys.argv[1]))["usable"])' "$out")"
mkdir nothing
expect_failure 1 "'nothing' holds no certificates and no keys (*.pem, *.crt, *.key, *.crl, *.psk)" tls show nothing
expect_failure 1 "'nowhere' can't be read: No such file or directory" tls show nowhere
run_nbdcrypt tls show template
expect_equal "status for another file" 1 "$status"
expect_match "$out" '^template +holds no certificate and no key '

note "text that would move the cursor"
key box/evil
certificate box/evil 'cn = "a"' 'organization = "x"' "${good[@]}"
mv box "$(printf 'b\033[2Jx')"
run_nbdcrypt tls show "$(printf 'b\033[2Jx')"
! grep -q "$(printf '\033')" "$out" "$err" || fail "an escape sequence reaches the terminal"
