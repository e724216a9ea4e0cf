#!/bin/bash
# A server that may be empty starts without an export, takes its first one in a folder that systemd has set aside, keeps it over a
# restart, and goes on when the last one goes.  One that may not be says so, and so does its reload.
. "$(dirname "$0")/../support/functions.sh"

requires nbdinfo --version
work=$(temp_dir) socket=$(temp_socket) control=$(temp_socket)
mkdir "$work/conf.d" "$work/state" "$work/state/conf.d"
# Confined to a folder in which there is nothing, and to what it has from systemd.
config() {
    printf '[server]\nunix = %s\n%s\n[control]\nsocket = %s\n[sandbox]\nimage-paths = %s\n' "$socket" "${1-}" "$control" \
        "$work/conf.d" >"$work/nbdcrypt.conf"
}
cp "$passphrase" "$work/state/key"
no_export="$work/nbdcrypt.conf: there is no export: write [export NAME] with image = IMAGE, or may-be-empty = yes below [server]"
export STATE_DIRECTORY=$work/state:$work/state/conf.d # as a unit with StateDirectory=nbdcrypt nbdcrypt/conf.d has it

config
run_nbdcrypt serve --config "$work/nbdcrypt.conf"
expect_equal "status of a server that has no export" 2 "$status"
expect_message "$err" "nbdcrypt: $no_export"

config 'may-be-empty = yes'
expect_success check --config "$work/nbdcrypt.conf"
start_nbdcrypt --config "$work/nbdcrypt.conf" --unix "$socket"
expect_match <("$NBDCRYPT" ctl --socket "$control" status) '^exports +0$'
run_nbdcrypt format --key-file "$passphrase" --pbkdf pbkdf2 --pbkdf-iterations 1000 --size 4M "$work/state/vm1.luks"
expect_equal "status of format" 0 "$status"
expect_success ctl --socket "$control" add --persist vm1 "$work/state/vm1.luks" "key-file=$work/state/key"
expect_equal "size" 4194304 "$(nbdinfo --size "nbd+unix:///vm1?socket=$socket")"
stop_nbdcrypt
start_nbdcrypt --config "$work/nbdcrypt.conf" --unix "$socket"
expect_equal "size after a restart" 4194304 "$(nbdinfo --size "nbd+unix:///vm1?socket=$socket")"
expect_success ctl --socket "$control" remove --persist vm1
expect_success ctl --socket "$control" reload

# The last export of a server that may not be empty does not go with its file.
expect_success ctl --socket "$control" add --persist vm1 "$work/state/vm1.luks" "key-file=$work/state/key"
config
expect_success ctl --socket "$control" reload
rm "$work"/conf.d/*
run_nbdcrypt ctl --socket "$control" reload
[ "$status" -ne 0 ] || fail "the reload has taken the last export"
expect_match "$err" 'there is no export'
expect_equal "size after the reload" 4194304 "$(nbdinfo --size "nbd+unix:///vm1?socket=$socket")"
stop_nbdcrypt
