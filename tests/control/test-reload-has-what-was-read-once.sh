#!/bin/bash
# A configuration that names a descriptor for a key is read again as often as one likes, though that was read and closed at the start;
# what would have to read it again is refused with a sentence.  A plan shows names of exports without what a terminal would obey.
. "$(dirname "$0")/../support/functions.sh"

requires nbdinfo --version
folder=$(temp_dir) control=$(temp_socket) socket=$(temp_socket)
umask 022
chmod 755 "$folder"
mkdir "$folder/conf.d"
config=$folder/nbdcrypt.conf
plain=$(temp_file)
make_pattern "$plain" 1M
encrypt_by_nbdcrypt "$plain" "$folder/luks"
cp "$folder/luks" "$folder/other"
encrypt_by_nbdcrypt "$plain" "$folder/line"
write() { # IMAGE [LINE...]
    printf '%s\n' "[export disk]" "image = $1" "key-fd = 8" "${@:2}" >"$config"
}
ctl() { "$NBDCRYPT" ctl --socket "$control" "$@"; }
refuses() {
    ! ctl reload "${@:2}" >"$log_dir/reload" 2>&1 || fail "a reload succeeded: $1"
    expect_match "$log_dir/reload" "$1"
    expect_image "$plain" "nbd+unix:///disk?socket=$socket"
}
write "$folder/luks"
start_nbdcrypt --unix "$socket" --config "$config" --control "$control" --export "line=$folder/line,key-fd=9" 8<"$passphrase" 9<"$passphrase"
ctl reload
write "$folder/luks" "description = the same disk" "[export more]" "image = memory:1M" "raw = yes"
ctl reload
expect_equal "what came" 1048576 "$(nbdinfo --size "nbd+unix:///more?socket=$socket")"
kill -HUP "$pid"
is_read_again() {
    [ "$(grep -c 'the configuration was read again' "$server_log")" -eq 3 ]
}
wait_until 20 is_read_again
for name in disk line; do
    expect_image "$plain" "nbd+unix:///$name?socket=$socket"
done
write "$folder/other"
refuses "export 'disk' can't be opened while the server runs: .* or a descriptor; restart the server" --replace disk
write "$folder/luks" "[export second]" "image = $folder/other" "key-fd = 8"
refuses "export 'second' can't be opened while the server runs: .* or a descriptor; restart the server"
write "$folder/luks" "[export second]" "image = $folder/other" "key-fd = 77"
refuses "key-fd 77: Bad file descriptor: whoever starts this program has to open it"

# ---- names ----
write "$folder/luks"
escape=$'\e[2J\e]0;title\a'
ctl add "odd$escape" memory:1M raw=yes --persist
ctl reload >"$log_dir/reload"
find "$folder/conf.d" -type f -delete
ctl reload --dry-run >"$log_dir/plan"
expect_match "$log_dir/plan" 'odd\\x1b\[2J\\x1b\]0;title\\x07'
! grep -q $'[\e\a]' "$log_dir/plan" || fail "a terminal would obey the plan"
stop_nbdcrypt
