#!/bin/bash
# Where storage has neither FLUSH nor FUA, clients are offered neither, and a warning says what that means; none where it
# has one of them, or is served for reading.
. "$(dirname "$0")/../support/functions.sh"
. "$(dirname "$0")/../support/remote-functions.sh"

requires nbdinfo --version
disk=$(temp_file)
expect_success format --key-file "$passphrase" --pbkdf pbkdf2 --pbkdf-iterations 1000 --size 1M "$disk"

# offers FLAGS EXPECTED WARNINGS OPTION...: what a server offers whose storage has these flags of the protocol.
offers() {
    local flags=$1 expected=$2 warnings=$3

    shift 3
    new_remote
    start_fake "$disk" "flags=$flags"
    start_nbdcrypt "$@" "$remote"
    expect_equal "FLUSH and FUA with flags $flags" "$expected" \
        "$(nbdinfo "$uri" | sed -nE 's/^\s*can_(flush|fua): (true|false)$/\1=\2/p' | sort | paste -s -d ' ')"
    expect_equal "warnings with flags $flags and $*" "$warnings" \
        "$(grep -c "image '$remote': it has neither FLUSH nor FUA, so that nobody knows when what clients write" "$server_log" || true)"
    stop_nbdcrypt
    kill_remote
}

offers 1 'flush=false fua=false' 1 --raw
offers 1 'flush=false fua=false' 1 --key-file "$passphrase"
offers 1 'flush=false fua=false' 0 --raw --read-only
offers 9 'flush=false fua=true' 0 --raw
offers 5 'flush=true fua=true' 0 --key-file "$passphrase"
