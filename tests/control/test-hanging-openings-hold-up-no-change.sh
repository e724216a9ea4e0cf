#!/bin/bash
# Exports are added whose storage, server or key never comes, by a call and by a reload: others come, go, are suspended and resumed
# meanwhile, each is given up when its time is over, and the server ends when it is told to, whatever still hangs.
. "$(dirname "$0")/../support/functions.sh"

requires nbdinfo --version

folder=$(temp_dir) control=$(temp_socket) far=$(temp_socket) silent=$(temp_socket)
chmod 755 "$folder"
umask 022
printf passphrase >"$folder/key"
mkfifo "$folder/no-key"
truncate --size=1M "$folder/near" "$folder/far"
expect_success format --type luks2 --pbkdf pbkdf2 --pbkdf-iterations 1000 --size 8M --key-file "$folder/key" "$folder/disk"
for name in first second third fourth fifth sixth; do
    cp "$folder/disk" "$folder/$name"
done

ctl() {
    timeout 20 "$NBDCRYPT" ctl --socket "$control" "$@"
}
write_config() {
    printf '%s\n' "[server]" "open-timeout = $1" "[export disk]" "image = $folder/disk" "key-file = $folder/key" "${@:2}" \
        >"$folder/nbdcrypt.conf"
}
# others_change: what is done beside an opening that hangs.
others_change() {
    ctl add near "$folder/near" raw=yes || fail "$1: no other export could be added"
    nbdinfo --size "nbd+unix:///near?socket=$socket" >"$log_dir/size"
    ctl suspend disk || fail "$1: no other export could be suspended"
    ctl resume disk || fail "$1: no other export could be resumed"
    ctl remove near || fail "$1: no other export could be removed"
}

# A server that accepts and says nothing, and one that stops when it has been opened.
"$PYTHON" -c 'import socket, sys, time
server = socket.socket(socket.AF_UNIX)
server.bind(sys.argv[1])
server.listen(64)
time.sleep(600)' "$silent" &
remember_pid $!
wait_until 30 test -S "$silent"
start_nbdcrypt --raw --unix "$far" --control none "$folder/far"
stop_process "$pid"

write_config 8
start_nbdcrypt --sandbox-programs sleep --control "$control" --config "$folder/nbdcrypt.conf"

# ---- by calls ----
hanging=()
begin_to_add() {
    "$NBDCRYPT" ctl --socket "$control" add "$@" >"$log_dir/add-$1" 2>&1 &
    hanging+=("$!")
    remember_pid $!
    wait_until 30 grep -q "control: AddExport name='$1'" "$server_log"
}
begin_to_add fifo "$folder/first" key-file="$folder/no-key"
begin_to_add command "$folder/second" key-command='sleep 600'
begin_to_add silent "nbd+unix:///x?socket=$silent" raw=yes
begin_to_add stopped "nbd+unix:///x?socket=$far" raw=yes
others_change "while others hang"
expect_failure 1 "the server has not answered within 1 s (--timeout), and may go on with what it was asked" \
    ctl --socket "$control" --timeout 1 add given-up "$folder/fifth" key-file="$folder/no-key"
! ctl add fifo "$folder/near" raw=yes 2>"$log_dir/again" || fail "two exports have one name"
expect_match "$log_dir/again" "an export 'fifo' is being opened already"
for one in "${hanging[@]}"; do
    ! wait "$one" || fail "one was added"
done
for name in fifo command silent stopped; do
    expect_match "$log_dir/add-$name" "export '$name': it could not be opened within 8 seconds \(--open-timeout\)"
    ctl add "$name" "$folder/near" raw=yes || fail "$name: its name is not free"
    ctl remove "$name"
done

# ---- in a reload, and longer than ctl waits for a look ----
write_config 11
ctl reload >"$log_dir/reload" || fail "the time was not changed"
begin_to_add long "$folder/sixth" key-file="$folder/no-key"
write_config 11 "[export one]" "image = $folder/near" "raw = yes" "[export two]" "image = $folder/third" "key-file = $folder/no-key"
before=$(ctl --json exports)
ctl reload >"$log_dir/reload" 2>&1 && fail "a reload succeeded with an export that does not open"
expect_match "$log_dir/reload" "export 'two': it could not be opened within 11 seconds"
! wait "${hanging[-1]}" || fail "it was added"
expect_match "$log_dir/add-long" "export 'long': it could not be opened within 11 seconds"
expect_equal "exports" "$before" "$(ctl --json exports)"
write_config 8 "[export one]" "image = $folder/near" "raw = yes"
ctl reload >"$log_dir/reload" 2>&1 || fail "what was opened in vain is still in use: $(cat "$log_dir/reload")"
ctl --json show one >"$log_dir/one"

# ---- a key that does not come ----
exec 9<>"$folder/no-key"
ctl suspend disk
ctl --key-fd 9 resume disk >"$log_dir/resume" 2>&1 &
resume=$!
remember_pid "$resume"
wait_until 30 grep -q "control: Resume name='disk' key_fd" "$server_log"
ctl remove one
ctl resume disk || fail "a key that is there does not get past one that is not"
if wait "$resume"; then
    fail "a key was read that nobody wrote"
fi
expect_match "$log_dir/resume" "export 'disk' was asked to be suspended or resumed again"

# ---- the end ----
write_config 0
ctl reload >"$log_dir/reload"
ctl suspend disk
ctl --key-fd 9 resume disk >"$log_dir/resume" 2>&1 &
resume=$!
remember_pid "$resume"
"$NBDCRYPT" ctl --socket "$control" add late "$folder/fourth" key-file="$folder/no-key" >"$log_dir/late" 2>&1 &
late=$!
remember_pid "$late"
wait_until 30 grep -q "control: AddExport name='late'" "$server_log"
before=$SECONDS
stop_nbdcrypt
[ $((SECONDS - before)) -lt 10 ] || fail "the end took $((SECONDS - before)) s"
wait "$late" && fail "an export was added to a server that ended"
wait "$resume" && fail "an export was resumed without a key"
exec 9<&-
