#!/bin/bash
# Once a disk is served the passphrase is nowhere in the memory of the server, wherever it came from, and the volume
# key is only in memory that is locked and left out of core files.
. "$(dirname "$0")/../support/functions.sh"

requires cryptsetup --version
is_sanitized && skip "a sanitizer keeps what was freed"

# find_in_memory PID FILE WHAT all|unlocked|undumped: fails where the bytes of FILE are in the writable memory of a process.
find_in_memory() {
    "$PYTHON" "$source_dir/tests/luks/no-passphrase-in-memory-find-in-memory.py" "$@" </dev/null
}

# Not one that could be there by chance, nor in the arguments of this test.
secret=$test_dir/secret
"$PYTHON" -c 'import os; print("passphrase-" + os.urandom(16).hex(), end="")' >"$secret"
volume_key=$test_dir/volume-key
where=unlocked
[ "$(ulimit -l)" = unlimited ] || [ "$(ulimit -l)" -ge 8192 ] || where=undumped
NBDCRYPT_ALLOW_CORE=1
export NBDCRYPT_ALLOW_CORE

# expect_not_in_memory_of PROCESS SECRET NAME: only root may look into the one beside the server.
expect_not_in_memory_of() {
    local status=0

    find_in_memory "$@" all || status=$?
    case $status in
    0) ;;
    77) [ "$(id -u)" -ne 0 ] || fail "root can't look into the process beside the server" ;;
    *) fail "the process beside the server has $3" ;;
    esac
}

# expect_nothing_left OPTION... IMAGE
expect_nothing_left() {
    local status=0 process

    start_nbdcrypt "$@"
    expect_alive "$uri"
    find_in_memory "$pid" "$secret" "the passphrase" all || status=$?
    [ "$status" -ne 77 ] || skip "the memory of another process can't be read here"
    expect_equal "status of the search for the passphrase of $*" 0 "$status"
    find_in_memory "$pid" "$volume_key" "the volume key" "$where" >"$test_dir/key-found" ||
        fail "the volume key of $* is in memory that is not locked or goes into a core file"
    beside=$(cat "/proc/$pid/task/"*/children)
    for process in $beside; do
        expect_not_in_memory_of "$process" "$secret" "the passphrase"
        expect_not_in_memory_of "$process" "$volume_key" "the volume key"
    done
    stop_nbdcrypt
}

for kind in "luks2 aes-xts-plain64 pbkdf2" "luks2 aes-xts-plain64 argon2id" "luks1 serpent-xts-plain64 pbkdf2"; do
    read -r type cipher kdf <<<"$kind"
    image=$test_dir/$type-$cipher-$kdf
    cost=(--pbkdf-iterations 1000)
    [ "$kdf" = pbkdf2 ] || cost=(--pbkdf-iterations 4 --pbkdf-memory-kib 1024)
    "$PYTHON" -c 'import os, sys; sys.stdout.buffer.write(os.urandom(64))' >"$volume_key"
    expect_success format --type "$type" --cipher "$cipher" --pbkdf "$kdf" "${cost[@]}" --size 1M \
        --key-file "$secret" --volume-key-file "$volume_key" "$image"
    expect_nothing_left --key-file "$secret" "$image"
done
expect_nothing_left --key-command "cat $secret" "$image"
[ -n "$beside" ] || fail "no process that starts programs is beside the server"
expect_nothing_left --key-fd 9 "$image" 9<"$secret"
expect_nothing_left --volume-key-file "$volume_key" "$image"

# The search finds what is there: what is not a secret, such as an export's description.
cp "$secret" "$test_dir/description"
start_nbdcrypt --description "$(cat "$secret")" --key-file "$secret" "$image"
if find_in_memory "$pid" "$secret" "the description" all 2>"$log_dir/found"; then
    fail "the search found not even what is in the open"
fi
expect_match "$log_dir/found" '^the description is in memory: '
