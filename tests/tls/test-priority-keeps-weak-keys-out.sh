#!/bin/bash
# A priority string of the user's chooses ciphers; how strong certificates have to be stays as it was, unless it says so.
. "$(dirname "$0")/../support/functions.sh"
. "$(dirname "$0")/../support/tls.sh"
requires nbdinfo --version

make_pki

# with_priority STRING
with_priority() {
    start_tls_nbdcrypt --tls-priority "$1" --raw memory:1M
}

refuses() {
    ! nbdinfo --size "$(x509_uri "$1")" >/dev/null 2>&1 || fail "'$1' was let in"
}

for priority in NORMAL 'SECURE128:-VERS-ALL:+VERS-TLS1.3:-CIPHER-ALL:+AES-256-GCM'; do
    with_priority "$priority"
    nbdinfo --size "$(x509_uri client)" >/dev/null
    refuses weak
    expect_match "$server_log" 'its certificate CN=weak is too weak'
    stop_nbdcrypt
done

# What the string itself says counts.
with_priority 'NORMAL:%PROFILE_FUTURE'
refuses client
stop_nbdcrypt
