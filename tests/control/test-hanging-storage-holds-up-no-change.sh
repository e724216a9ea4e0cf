#!/bin/bash
# An export is removed whose storage does not answer any more: others come, go and are suspended meanwhile, and the removal is
# done when its storage answers again.
. "$(dirname "$0")/../support/functions.sh"

requires qemu-io --version

folder=$(temp_dir) control=$(temp_socket) far=$(temp_socket)
truncate --size=1M "$folder/far" "$folder/near"
printf passphrase >"$folder/key"
expect_success format --type luks2 --pbkdf pbkdf2 --pbkdf-iterations 1000 --size 8M --key-file "$folder/key" "$folder/disk"

ctl() {
    timeout 20 "$NBDCRYPT" ctl --socket "$control" "$@"
}

start_nbdcrypt --raw --unix "$far" --control none "$folder/far"
storage=$pid
start_nbdcrypt --control "$control" --export "disk=$folder/disk,key-file=$folder/key" \
    --export "far=nbd+unix:///?socket=$far,raw"
qemu-io --format raw --cmd "write 0 64k" "nbd+unix:///far?socket=$socket" >"$log_dir/write"

stop_process "$storage"
"$NBDCRYPT" ctl --socket "$control" remove --now far >"$log_dir/remove" 2>&1 &
removal=$!
remember_pid "$removal"
wait_until 30 grep -q "export 'far' is removed" "$server_log"

ctl add near "$folder/near" raw=yes || fail "no export could be added beside storage that hangs"
ctl suspend disk || fail "no key could be taken out of memory beside storage that hangs"
ctl remove near || fail "no export could be removed beside storage that hangs"
kill -0 "$removal" || fail "an export was removed whose storage does not answer: $(cat "$log_dir/remove")"

kill -CONT "$storage"
wait "$removal" || fail "the removal failed: $(cat "$log_dir/remove")"
stop_nbdcrypt
