#!/bin/bash
# Keys are for their owner whatever the umask, nothing that is there is overwritten without --force, and --force
# does not remove what others have put there.
. "$(dirname "$0")/../support/functions.sh"

requires openssl version
work=$(temp_dir)
cd "$work"

# modes DIR
modes() {
    find "$1" -printf '%m %y\n' | sort -u | paste -sd ,
}

for mask in 000 022 077 777; do
    (umask "$mask" && "$NBDCRYPT" tls init "pki-$mask" --host localhost >/dev/null &&
        "$NBDCRYPT" tls client "pki-$mask" alice >/dev/null && "$NBDCRYPT" tls psk "$mask.psk" alice >/dev/null) ||
        fail "with umask $mask"
    expect_equal "modes with umask $mask" "600 f,644 f,700 d" "$(modes "pki-$mask")"
    expect_equal "files for everybody" "" "$(find "pki-$mask" -name '*key*' -perm /077)"
    expect_equal "mode of $mask.psk" 600 "$(stat --format=%a "$mask.psk")"
done
expect_equal "the authority's key" pki-022/ca-key.pem "$(find pki-022 -name 'ca-key*')"
expect_equal "what else is left" "" "$(find . -name '.nbdcrypt*')"

mv pki-022 pki
before=$(find pki -type f -exec sha256sum {} + | sort)
expect_unchanged() {
    expect_equal "files" "$before" "$(find pki -type f -exec sha256sum {} + | sort)"
}

expect_failure 1 "'pki' is there already, and not empty; give --force to replace an authority, and with it all \
certificates that it has made" tls init pki --host localhost
expect_unchanged
expect_failure 1 "'pki/clients/alice' is there already; give --force to replace it (the certificate that it holds \
stays valid until it is revoked)" tls client pki alice
expect_unchanged
run_nbdcrypt tls client pki carol --days 4000
expect_equal "status" 1 "$status"
expect_match "$err" "^nbdcrypt: --days 4000: the certificate of the authority in 'pki' expires in 36(49|50) days, and"
expect_unchanged

note "as long as the authority, though made later"
cp -a pki later
later_than() { [ "$(date +%s)" -gt "$1" ]; }
wait_until 10 later_than "$(date +%s)"
expect_success tls client later dave --days 3650
expect_equal "end" "$(openssl x509 -noout -enddate -in later/ca-cert.pem)" \
    "$(openssl x509 -noout -enddate -in later/clients/dave/client-cert.pem)"

note "what others have put there"
echo precious >pki/server/keys.psk
before=$(find pki -type f -exec sha256sum {} + | sort)
expect_failure 1 "'pki/server/keys.psk' is not one of the files that nbdcrypt tls makes, so nothing was replaced: move \
it away first" tls init pki --host localhost --force
expect_unchanged
expect_success tls server pki
expect_equal "the file of others" precious "$(cat pki/server/keys.psk)"
mkdir home
echo precious >home/letter
expect_failure 1 "'home/letter' is not one of the files that nbdcrypt tls makes, so nothing was replaced: move it away \
first" tls init home --host localhost --force
expect_equal "the letter" precious "$(cat home/letter)"
echo precious >file
expect_failure 1 "'./file' can't be opened: Not a directory" tls init file --host localhost --force
expect_equal "the file" precious "$(cat file)"

note "--force"
rm pki/server/keys.psk
authority=$(sha256_of pki/ca-cert.pem)
expect_success tls init pki --host localhost --force --client bob
[ "$authority" != "$(sha256_of pki/ca-cert.pem)" ] || fail "the authority is the old one"
expect_equal "clients" bob "$(ls pki/clients)"
expect_equal "what else is left" "" "$(find . -name '.nbdcrypt*')"
mkdir empty
expect_success tls init empty --host localhost

note "folders that are no authority's"
expect_failure 1 "'home' is not the folder of an authority: it has no ca-key.pem; nbdcrypt tls init makes one" \
    tls client home alice
cp empty/ca-key.pem pki/ca-key.pem
expect_failure 1 "'pki': the key of the authority is not that of its certificate" tls client pki dave
expect_equal "clients" bob "$(ls pki/clients)"
