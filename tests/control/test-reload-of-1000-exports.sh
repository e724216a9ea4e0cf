#!/bin/bash
# A thousand exports come and go by reloads, by signals as well, while fio writes and verifies on one that stays: no byte is lost,
# no client of another export ends, and nothing is left of what went.
. "$(dirname "$0")/../support/functions.sh"

requires fio --version
fio --enghelp 2>/dev/null | grep -q '\bnbd\b' || skip "this fio has no NBD engine"

count=1000
! is_sanitized || count=100
folder=$(temp_dir) control=$(temp_socket)
config=$folder/nbdcrypt.conf
chmod 755 "$folder"
umask 022
printf passphrase >"$folder/key"
expect_success format --type luks2 --pbkdf pbkdf2 --pbkdf-iterations 1000 --size 16M --key-file "$folder/key" "$folder/busy"

write_config() {
    {
        printf '%s\n' "[server]" "threads = 2" "[export busy]" "image = $folder/busy" "key-file = $folder/key"
        for ((i = 0; i < $1; i++)); do
            printf '%s\n' "[export many $i]" "image = memory:64K" "raw = yes" "description = $2"
        done
    } >"$config"
}
ctl() {
    "$NBDCRYPT" ctl --socket "$control" "$@"
}
is_served() {
    [ "$(ctl exports | grep -c '^many')" -eq "$1" ]
}

write_config 0 none
start_nbdcrypt --control "$control" --config "$config"
# By the server's own count: only root may look into one that holds secrets.
descriptors_now() {
    ctl metrics | awk '$1 == "process_open_fds" { print $2 }'
}
descriptors=$(descriptors_now)
(cd "$test_dir" && exec fio --name=stays --ioengine=nbd --uri="nbd+unix:///busy?socket=$socket" --size=16M --rw=randrw --bs=4k-64k \
    --iodepth=8 --verify=crc32c --verify_fatal=1 --verify_state_save=0 --verify_backlog=64 --time_based --runtime=8) >"$log_dir/fio" 2>&1 &
fio=$!
remember_pid "$fio"
rounds=0
while kill -0 "$fio" 2>"$log_dir/gone" || [ "$rounds" -eq 0 ]; do
    write_config "$count" first
    ctl reload >"$log_dir/reload"
    write_config "$count" second
    for ((i = 0; i < 50; i++)); do
        kill -HUP "$pid"
    done
    is_served "$count" || fail "not all exports are there"
    write_config 0 none
    ctl reload >"$log_dir/reload"
    wait_until 60 is_served 0
    rounds=$((rounds + 1))
done
wait "$fio" || fail "a client of an export that stays was disturbed: $(cat "$log_dir/fio")"
note "rounds: $rounds"
are_closed() {
    [ "$(descriptors_now)" -le "$descriptors" ]
}
wait_until 60 are_closed
stop_nbdcrypt
complained=$(complaints | grep -v -e "messages were lost here" -e "the sandbox is not whole" | head -n 5) || true
expect_equal "complaints" "" "$complained"
