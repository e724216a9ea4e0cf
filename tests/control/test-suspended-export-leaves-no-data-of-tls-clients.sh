#!/bin/bash
# A suspended export: of what its clients wrote and read under TLS nothing is left in the memory of the server, where it protects
# the records itself.  They go on when it is resumed.
. "$(dirname "$0")/../support/functions.sh"
. "$(dirname "$0")/../support/tls.sh"
requires_python_module ssl
is_sanitized && skip "a sanitizer keeps what was freed"

folder=$(temp_dir) control=$(temp_socket)
secret=$test_dir/secret plaintext=$test_dir/plaintext
printf 'a passphrase' >"$secret"
"$PYTHON" -c 'import os, sys; sys.stdout.buffer.write(os.urandom(64))' >"$plaintext"
NBDCRYPT_ALLOW_CORE=1
export NBDCRYPT_ALLOW_CORE

ctl() {
    "$NBDCRYPT" ctl --socket "$control" "$@"
}
expect_not_in_memory() {
    local status=0

    "$PYTHON" "$source_dir/tests/control/suspended-export-has-no-key-in-memory.py" "$pid" "$plaintext" >"$log_dir/found" ||
        status=$?
    [ "$status" -ne 77 ] || skip "the memory of another process can't be read here"
    [ "$status" -eq 1 ] || fail "data of a client that $1 is in memory: $(cat "$log_dir/found")"
}
have_done() {
    [ "$(grep -c "^done" "$test_dir/said")" -eq "$1" ]
}

make_pki
expect_success format --type luks2 --pbkdf pbkdf2 --pbkdf-iterations 1000 --size 8M --key-file "$secret" "$folder/disk"
start_tls_nbdcrypt --threads 2 --ktls off --control "$control" --export "disk=$folder/disk,key-file=$secret"
mkfifo "$test_dir/go"
: >"$test_dir/said"
python "$source_dir/tests/control/suspended-export-leaves-no-data-of-tls-clients.py" "nbd://localhost:$port/disk" "$pki" \
    "$plaintext" <"$test_dir/go" >"$test_dir/said" 2>"$log_dir/clients" &
clients=$!
remember_pid "$clients"
exec 7>"$test_dir/go"
wait_until 60 have_done 1
grep -Eq 'GCM \(' "$server_log" || skip "GnuTLS protects the records on this processor"
for round in 2 3; do
    ctl suspend disk
    expect_not_in_memory "is there"
    ctl resume disk
    echo >&7
    wait_until 60 have_done "$round"
done
exec 7>&-
wait "$clients" || fail "a client failed: $(cat "$log_dir/clients")"
ctl suspend disk
expect_not_in_memory "has gone"
ctl resume disk
stop_nbdcrypt
