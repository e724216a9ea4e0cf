#!/bin/bash
# Exports of files are served as those of the command line are; what is wrong with a file is told with its line, all of it,
# before anything is done; and no secret in it is repeated.
. "$(dirname "$0")/../support/functions.sh"

umask 022
folder=$(temp_dir)
chmod 755 "$folder"
config=$folder/nbdcrypt.conf
plain=$(temp_file) image=$(temp_file) raw=$(temp_file)
make_pattern "$plain" 1M
make_pattern "$raw" 64K 2
encrypt_to_luks2 "$plain" "$image"

# ---- what is served ----

mkdir "$folder/conf.d" "$folder/more"
cat >"$config" <<END
# the whole of it
[server]
threads = 2
max-connections = 40
unix = $folder/never.sock

[defaults]
key-file = $passphrase
read-only = yes

[export disk 1]
image = $image
description = the first = disk
metadata org.example.app = {"owner": "somebody"}
END
cat >"$folder/conf.d/10-raw.conf" <<END
[export raw]
image = $raw
raw = yes
allow = uid:$(id -u)
END
cat >"$folder/conf.d/20-more.conf" <<END
[export hidden]
image = memory:1M
raw = yes
allow = psk:nobody
END
cat >"$folder/more/30.conf" <<END
[export raw]
read-only = no
END
echo 'this is read by nobody' >"$folder/conf.d/notes.txt"

start_nbdcrypt --config "$config" --config-dir "$folder/conf.d" --config-dir "$folder/more" --export "third=memory:1M,raw"
[ ! -e "$folder/never.sock" ] || fail "--unix does not take the place of unix ="
expect_image "$plain" "nbd+unix:///disk%201?socket=$socket"
nbdcopy "nbd+unix:///raw?socket=$socket" - | cmp - "$raw" # which is locked
nbdinfo --list "$uri" >"$log_dir/list"
grep -qx 'export="disk 1":' "$log_dir/list" || fail "disk 1 is not listed"
grep -qF 'description: the first = disk' "$log_dir/list" || fail "the description is not told"
! grep -qE 'somebody|org.example' "$log_dir/list" || fail "metadata is told to clients"
! grep -qF 'hidden' "$log_dir/list" || fail "the rule of hidden does not hold"
nbdinfo --is readonly "nbd+unix:///disk%201?socket=$socket" || fail "read-only of [defaults] does not hold"
! nbdinfo --is readonly "nbd+unix:///raw?socket=$socket" || fail "read-only = no of a later file does not hold"
stop_nbdcrypt

# ---- what is refused, before anything is done ----

cat >"$folder/bad.conf" <<END
[server]
unix = $folder/bad.sock
thread = 3
[export a]
image = $raw
raw = yes
alow = uid:0
[export b]
image = nbd://me:hunter2@127.0.0.1/
passphrase = hunter2
hunter2
END
run_nbdcrypt serve --config "$folder/bad.conf" --config-dir "$folder/more"
expect_equal "status of a bad configuration" 2 "$status"
[ ! -e "$folder/bad.sock" ] || fail "something was done before all was read"
expect_message "$err" "nbdcrypt: $folder/bad.conf:3: [server]: unknown key 'thread' (threads?)"
expect_message "$err" "nbdcrypt: $folder/bad.conf:7: export 'a': unknown key 'alow' (allow?)"
expect_match "$err" "bad.conf:9: export 'b': image: a password stands in the URI"
expect_match "$err" "bad.conf:10: export 'b': unknown key 'passphrase': secrets are not written here"
expect_message "$err" "nbdcrypt: $folder/bad.conf:11: it is neither [SECTION] nor KEY = VALUE"
expect_message "$err" "nbdcrypt: $folder/more/30.conf:1: export 'raw': it has no image: write image = IMAGE"
expect_message "$err" "nbdcrypt: $folder/bad.conf: 6 things are wrong in the configuration"
expect_equal "lines of messages" 7 "$(wc -l <"$err")"
! grep -q hunter2 "$err" || fail "a secret is repeated"

# refused NAME WORDS: it is, with these words and nothing but them.
refused() {
    run_nbdcrypt serve --config "$config"
    expect_equal "status ($1)" 2 "$status"
    expect_match "$err" "$2"
    expect_equal "lines of messages ($1)" 2 "$(wc -l <"$err")"
}
chmod g+w "$folder/conf.d/20-more.conf"
refused "writable by a group" "20-more.conf: others may write this file: chmod go-w it"
chmod 644 "$folder/conf.d/20-more.conf"
chmod o+w "$folder/conf.d"
refused "writable folder" "conf.d: others may write in this folder"
chmod 755 "$folder/conf.d"
printf 'x\0y\n' >>"$folder/conf.d/20-more.conf"
refused "zero byte" "20-more.conf:5: byte 0x00 is a control character"
head -c 1200000 /dev/zero | tr '\0' '\n' >"$folder/conf.d/20-more.conf"
refused "too large" "20-more.conf: it has more than 1 MiB"
printf '[export x]\nimage = %s\nallow = uid:1\n' "$raw" >"$folder/conf.d/20-more.conf"
printf '[export x]\nallow =\nraw = yes\n' >"$folder/conf.d/30.conf"
refused "emptied rules" "30.conf:2: export 'x': allow is emptied, and no rule follows"
ln -sf /dev/null "$folder/conf.d/30.conf"
ln -sf /dev/null "$folder/conf.d/20-more.conf"
start_nbdcrypt --config "$config"
stop_nbdcrypt
expect_failure 2 "'$raw' and --config can't be used together: write --export NAME=$raw" serve --config "$config" "$raw"
