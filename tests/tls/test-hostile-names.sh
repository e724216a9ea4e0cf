#!/bin/bash
# Names that would leave the folder, fool a terminal or a certificate's reader are refused with status 2 and a
# sentence, before anything is made; odd ones that are fine are kept as they are.
. "$(dirname "$0")/../support/functions.sh"

requires openssl version
work=$(temp_dir)
cd "$work"
"$NBDCRYPT" tls init pki --host localhost >/dev/null
before=$(find . | sort)
usage() { expect_failure 2 "$@"; }
long=$(printf 'x%.0s' {1..5000})
cut=${long:0:80}

name() { usage "'$1' can't be the name of a client: $2" tls client pki "$3"; }
folder="it names a folder, so it can't"
for bad in ../x x/y /etc/passwd; do
    name "$bad" "$folder have a '/'" "$bad"
done
name .. "$folder begin with '.' or '-'" ..
name .hidden "$folder begin with '.' or '-'" .hidden
usage "'-x' can't be the name of a client: $folder begin with '.' or '-'" tls client -- pki -x
name '' "it is empty" ''
name "$cut" "it has more than 64 bytes" "$long"
control="it has control characters, or is not UTF-8"
name 'a\x0ab' "$control" $'a\nb'
name 'a\x1b[2Jb' "$control" $'a\e[2Jb'
run_nbdcrypt tls client pki $'a\xff'
expect_equal "status for what is not UTF-8" 2 "$status"
run_nbdcrypt tls client pki $'a\xc2\x9bb'
expect_equal "status for a C1 control character" 2 "$status"
run_nbdcrypt tls client pki $'a\xc0\xafb'
expect_equal "status for an overlong '/'" 2 "$status"
name ' x' "it begins or ends with a blank" ' x'

host() { usage "--host: '$1' is not a host that can be used: $2" tls init new --host "$3"; }
neither="it is neither a DNS name nor an IP address"
host '' "$neither" ''
host 256.1.1.1 "$neither" 256.1.1.1
host 1.2.3 "$neither" 1.2.3
host 'a b' "$neither" 'a b'
host a..b "$neither" a..b
host -a.example.org "$neither" -a.example.org
host a_b.example.org "$neither" a_b.example.org
host '[::1]' "write an IPv6 address without brackets" '[::1]'
host example.org. "leave out the dot at its end" example.org.
host 'a\x0ab' "$neither" $'a\nb'
run_nbdcrypt tls init new --host bücher.example
expect_match "$err" 'write it as the DNS has it, in ASCII \(xn--\.\.\.\)$'
host "$cut" "it has more than 253 bytes" "$long"
two="a '*' needs a name of two parts behind it, as in *.example.org"
front="a '*' can only stand in front, as in *.example.org"
host '*' "$front" '*'
host '*.org' "$two" '*.org'
host 'a.*.example.org' "$front" 'a.*.example.org'
host 'a*.example.org' "$front" 'a*.example.org'
usage "--host Example.org is there twice" tls init new --host example.org --host Example.org
usage "--host is missing: name the server as clients will, such as --host storage.example.org" tls init new
usage "--client: '../x' can't be the name of a client: $folder have a '/'" tls init new --host a --client ../x
usage "--dns: '192.0.2.1' is not a DNS name that can be used: it is an IP address" tls client pki a --dns 192.0.2.1
scheme="it needs a scheme, as in urn:example:db1 or spiffe://example.org/db1"
usage "--uri: 'no-scheme' is not a URI that can be used: $scheme" tls client pki a --uri no-scheme
usage "--uri: 'urn:a b' is not a URI that can be used: write characters that a URI can't have as %XX" \
    tls client pki a --uri 'urn:a b'

user() { usage "'$1' can't be the name of a user: $2" tls psk new.psk "$3"; }
user 'a:b' "a ':' ends the name in the file" a:b
user '#61' "a '#' in front is a mark in the file: what is behind it would be hexadecimal" '#61'
user 'a\x0ab:00' "$control" $'a\nb:00'
user '' "it is empty" ''
user "$cut" "it has more than 128 bytes" "$long"

note "other words that make no sense"
usage "no command was given: nbdcrypt tls --help lists them" tls
usage "there is no command 'tls clinet': did you mean tls client?" tls clinet
usage "there is no command 'tls frobnicate': nbdcrypt tls --help lists them" tls frobnicate
usage "unknown option '--hots': did you mean --host?" tls init new --hots a
usage "no DIR was given: nbdcrypt tls init --help tells more" tls init --host a
usage "no NAME was given: nbdcrypt tls revoke --help tells more" tls revoke pki
usage "'b' is one operand too many: nbdcrypt tls show takes PATH" tls show a b
usage "--days: 0 is too small: the least is 1" tls init new --host a --days 0
usage "--days 40: the authority is valid for 30 days only, see --ca-days" \
    tls init new --host a --days 40 --ca-days 30
expect_equal "what is there" "$before" "$(find . | sort)"
for command in '' init client server revoke psk show; do
    # shellcheck disable=SC2086 # no word when it is empty
    expect_success tls $command --help
    expect_match "$out" "^Usage: nbdcrypt tls ${command:-COMMAND}"
done

note "names that are fine"
i=0
# shellcheck disable=SC2016 # no expansion is meant
for good in 'al ice' "o'neil" 'a,b+c=d"e' '$(touch x)' 'Jürgen' '名前' 'a\b' "${long:0:64}"; do
    i=$((i + 1))
    expect_success tls client pki "$good"
    [ -d "pki/clients/$good" ] || fail "no folder '$good'"
    expect_equal "common name" "$good" "$(openssl x509 -noout -subject -nameopt sep_multiline,utf8 \
        -in "pki/clients/$good/client-cert.pem" | sed -n 's/^ *CN=//p')"
    # The commands that were printed name the folder as it is.
    printed=$(sed -n 's/^To the client: *//p' "$out")
    expect_equal "the folder for a shell" "pki/clients/$good" "$(eval "printf %s $printed")"
    expect_success tls revoke pki "$good"
done
[ ! -e x ] || fail "a name was run"
expect_success tls init odd --host a --host xn--bcher-kva.example --host '*.example.org' --host 2001:db8::1
expect_success tls psk odd.psk 'Jürgen Doe'
