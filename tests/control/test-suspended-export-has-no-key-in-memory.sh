#!/bin/bash
# A suspended export: neither its volume key nor what ciphers made of it nor what clients wrote and read is in the memory of the
# server, its clients wait and lose nothing, others go on; only the same key resumes it.
. "$(dirname "$0")/../support/functions.sh"

requires nbdinfo --version
requires qemu-io --version
is_sanitized && skip "a sanitizer keeps what was freed"

folder=$(temp_dir) control=$(temp_socket)
secret=$test_dir/secret volume_key=$test_dir/volume-key plaintext=$test_dir/plaintext
"$PYTHON" -c 'import os; print("passphrase-" + os.urandom(16).hex(), end="")' >"$secret"
"$PYTHON" -c 'import os, sys; sys.stdout.buffer.write(os.urandom(64))' >"$volume_key"
"$PYTHON" -c 'import os, sys; sys.stdout.buffer.write(os.urandom(64))' >"$plaintext"
truncate --size=4M "$folder/other"
NBDCRYPT_ALLOW_CORE=1
export NBDCRYPT_ALLOW_CORE

ctl() {
    "$NBDCRYPT" ctl --socket "$control" "$@"
}
at() {
    printf 'nbd+unix:///%s?socket=%s' "$1" "$socket"
}
state_of() {
    ctl --json show "$1" | "$PYTHON" -c 'import json, sys; print(json.load(sys.stdin)["state"])'
}
has_come() {
    [ "$(grep -cF " attached export 'disk'" "$server_log")" -gt "$1" ]
}
# is_in_memory FILE: whether a part of these 64 bytes is there; of a volume key, both halves are keys of AES-XTS of their own.
is_in_memory() {
    "$PYTHON" "$source_dir/tests/control/suspended-export-has-no-key-in-memory.py" "$pid" "$1"
}
expect_not_in_memory() {
    local status=0

    is_in_memory "$1" >"$log_dir/found" || status=$?
    [ "$status" -ne 77 ] || skip "the memory of another process can't be read here"
    [ "$status" -eq 1 ] || fail "$2: $(cat "$log_dir/found")"
}
expect_no_key() {
    expect_not_in_memory "$volume_key" "the volume key is in memory, $1"
}
# Two clients, one for each thread, that write and read, whole sectors and parts of them, and once more with each line they get.
begin_to_write_and_read() {
    rm -f "$test_dir/go"
    mkfifo "$test_dir/go"
    : >"$test_dir/said"
    "$PYTHON" -c '
import sys
from nbd_client import Client
data = open(sys.argv[2], "rb").read() * 64
clients = [Client(sys.argv[1]) for _ in range(2)]
while True:
    for number, client in enumerate(clients):
        for offset in (number << 20, (number << 20) + 65536 + 100):
            client.write(offset, data)
            assert client.read(offset, len(data)) == data
            assert client.read(offset + 7, 1000) == data[7:1007]
    print("done", flush=True)
    if not sys.stdin.readline():
        break
' "$(at disk)" "$plaintext" <"$test_dir/go" >"$test_dir/said" 2>"$log_dir/clients" &
    clients=$!
    remember_pid "$clients"
    exec 7>"$test_dir/go"
    wait_until 30 have_done 1
}
have_done() {
    [ "$(grep -c "done" "$test_dir/said")" -eq "$1" ]
}

for cipher in aes-xts-plain64 serpent-xts-plain64; do
    rm -f "$folder/disk"
    expect_success format --type luks2 --cipher "$cipher" --pbkdf pbkdf2 --pbkdf-iterations 1000 --size 8M \
        --key-file "$secret" --volume-key-file "$volume_key" "$folder/disk"
    start_nbdcrypt --threads 2 --control "$control" --export "disk=$folder/disk,key-file=$secret" \
        --export "other=$folder/other,raw"
    is_in_memory "$volume_key" >"$log_dir/found" || fail "the search does not find a key that is there"

    # ---- clients at work, on several connections ----
    "$(dirname "$NBDCRYPT")/nbdcrypt-bench" --verify --write 50 --time 6 --connections 4 --size 4M --timeout 60 --json \
        "$(at disk)" >"$log_dir/bench" 2>&1 &
    bench=$!
    remember_pid "$bench"
    rounds=0
    while kill -0 "$bench" 2>"$log_dir/gone"; do
        ctl suspend disk
        expect_equal "state" suspended "$(state_of disk)"
        expect_no_key "suspended"
        expect_equal "read of another export" 0 "$(nbdcopy --flush "$(at other)" - | cmp "$folder/other" - && echo 0)"
        ctl suspend disk
        ctl resume disk
        expect_equal "state" serving "$(state_of disk)"
        rounds=$((rounds + 1))
    done
    wait "$bench" || fail "a client of a suspended export lost something: $(cat "$log_dir/bench")"
    [ "$rounds" -gt 0 ] || fail "nothing was suspended under load"

    # ---- what clients wrote and read: of those that are there, and of those that have gone ----
    begin_to_write_and_read
    is_in_memory "$plaintext" >"$log_dir/found" || fail "the search does not find data that is there"
    ctl suspend disk
    expect_not_in_memory "$plaintext" "data of a client that is there is in memory"
    ctl resume disk
    echo >&7
    wait_until 30 have_done 2
    exec 7>&-
    wait "$clients" || fail "a client failed: $(cat "$log_dir/clients")"
    ctl suspend disk
    expect_not_in_memory "$plaintext" "data of a client that has gone is in memory"
    ctl resume disk

    # ---- one that comes while it is suspended waits ----
    ctl suspend disk
    before=$(grep -cF " attached export 'disk'" "$server_log")
    qemu-io --format raw --cmd "write -P 7 5M 64k" --cmd "read -P 7 5M 64k" "$(at disk)" >"$test_dir/waits" 2>&1 &
    waits=$!
    remember_pid "$waits"
    wait_until 30 has_come "$before"
    expect_no_key "with a client that waits"

    # ---- what does not resume it ----
    cp "$secret" "$secret.kept"
    printf wrong >"$secret"
    ! ctl resume disk 2>"$log_dir/resume" || fail "a wrong passphrase resumed it"
    mv "$secret.kept" "$secret"
    cp "$folder/disk" "$folder/kept"
    expect_success format --type luks2 --pbkdf pbkdf2 --pbkdf-iterations 1000 --size 8M --key-file "$secret" "$folder/foreign"
    dd if="$folder/foreign" of="$folder/disk" bs=1M count=1 conv=notrunc status=none
    ! ctl resume disk 2>"$log_dir/resume" || fail "another volume key resumed it"
    expect_match "$log_dir/resume" 'its header has another volume key than before'
    rm "$folder/foreign"
    dd if="$folder/kept" of="$folder/disk" bs=1M count=1 conv=notrunc status=none
    expect_equal "state" suspended "$(state_of disk)"
    expect_no_key "after what did not resume it"
    [ ! -s "$test_dir/waits" ] || fail "a client of a suspended export was answered"
    ctl resume disk
    wait "$waits" || fail "a client that waited failed: $(cat "$test_dir/waits")"

    # ---- what can't be suspended, and the end of one that is ----
    ! ctl suspend other 2>"$log_dir/suspend" || fail "an export without a key was suspended"
    expect_match "$log_dir/suspend" 'does not encrypt'
    ctl suspend disk
    if [ "$cipher" = aes-xts-plain64 ]; then
        exec 9<"$secret"
        ctl --key-fd 9 resume disk
        exec 9<&-
        expect_equal "state" serving "$(state_of disk)"
        ctl suspend disk
    else
        ctl remove --now disk
    fi
    stop_nbdcrypt
done
