#!/bin/bash
# nbdcrypt ctl add --persist writes an export into the configuration: it is there after the next start, whatever its name is, a
# reload takes it over without touching its clients, and remove --persist takes it away again.  What can't be written, or was
# written by somebody else, is refused, and nothing is left of it.
. "$(dirname "$0")/../support/functions.sh"

requires nbdinfo --version
umask 022
mounted=
clean_up_test() {
    [ -z "$mounted" ] || umount "$mounted"
    mounted=
}
folder=$(temp_dir) control=$(temp_socket) socket=$(temp_socket)
chmod 755 "$folder"
image=$(temp_file) luks=$(temp_file) plain=$(temp_file)
truncate --size=1M "$image"
make_pattern "$plain" 1M
encrypt_by_nbdcrypt "$plain" "$luks"
config=$folder/nbdcrypt.conf
printf '[server]\nunix = %s\n[export first]\nimage = memory:1M\nraw = yes\n' "$socket" >"$config"
mkdir "$folder/conf.d" # for the sandbox, which is made at the start
start() { start_nbdcrypt "$@" --unix "$socket" --config "$config" --control "$control"; }
ctl() { expect_success ctl --socket "$control" "$@"; }
names() {
    "$NBDCRYPT" ctl --socket "$control" --json exports |
        "$PYTHON" -c 'import json, sys; print(*sorted(repr(one["name"]) for one in json.load(sys.stdin)))'
}
files() { find "$folder/conf.d" -type f -printf '%f\n' 2>/dev/null | sort | xargs; }

start
ctl add raw "$image" raw=yes "description=one more" "allow=uid:$(id -u)" --persist
ctl add disk "$luks" "key-file=$passphrase" read-only=yes --persist
ctl add 'odd "name"] \ é' memory:1M raw=yes --persist
ctl add passing memory:1M raw=yes
expect_equal "files" "ctl-disk.conf ctl-odd%20%22name%22%5d%20%5c%20%c3%a9.conf ctl-raw.conf" "$(files)"
expect_equal "mode" 600 "$(stat --format=%a "$folder/conf.d/ctl-raw.conf")"
expect_success check --config "$config" --open
ctl add raw "$image" raw=yes "description=one more" "allow=uid:$(id -u)" --persist # once more: nothing changes

# What the next start would refuse is not added.
expect_failure 1 "export 'tls' is tls-only, and the server has no TLS: leave that out, or start the server with TLS" \
    ctl --socket "$control" add tls memory:1M raw=yes tls-only=yes --persist
chmod 777 "$folder/conf.d"
expect_failure 1 "'$folder/conf.d/ctl-x.conf' is not written: others may write in its folder, which no server reads its \
configuration from; chown it, and chmod go-w it" ctl --socket "$control" add x memory:1M raw=yes --persist
chmod 755 "$folder/conf.d"
expect_success check --config "$config"

# ---- a reload beside a client ----
"$(dirname "$NBDCRYPT")/nbdcrypt-bench" --time 3 --json "nbd+unix:///raw?socket=$socket" >"$log_dir/bench" 2>&1 &
bench=$!
remember_pid "$bench"
ctl reload
expect_match "$out" '^~ raw +taken over from nbdcrypt ctl( .1 client.)?$'
ctl reload --dry-run
[ ! -s "$out" ] || fail "another reload would change something"
sed -i 's/^description = .*/description = another/' "$folder/conf.d/ctl-raw.conf"
ctl reload
expect_match "$out" '^~ raw +description( .1 client.)?$'
wait "$bench" || fail "its client was disturbed"
stop_nbdcrypt

# ---- after the next start ----
start
expect_equal "exports" "'disk' 'first' 'odd \"name\"] \\\\ é' 'raw'" "$(names)"
nbdcopy "nbd+unix:///disk?socket=$socket" - | cmp - "$plain"
"$NBDCRYPT" ctl --socket "$control" --json show raw >"$test_dir/shown"
expect_match "$test_dir/shown" "\"allow\": *\[ *\$|\"uid:$(id -u)\""
expect_match "$test_dir/shown" '"description": *"another"'
for name in raw disk 'odd "name"] \ é'; do
    ctl remove "$name" --persist
done
expect_equal "files" "" "$(files)"
expect_equal "exports" "'first'" "$(names)"

# ---- what is refused ----
refuses() {
    local sentence=$1

    shift
    run_nbdcrypt ctl --socket "$control" "$@"
    expect_equal "status of '$*'" 1 "$status"
    expect_match "$err" "$sentence"
    expect_equal "exports after '$*'" "'first'" "$(names)"
}
exec {key}<"$passphrase"
printf -v trailing 'x%b' '\0134' # a backslash
refuses 'a key that comes by a descriptor is not there after the next start' add x "$luks" --key-fd "$key" --persist
refuses 'description: a line of a file can.t have this value' add x memory:1M raw=yes "description=$trailing" --persist
refuses 'image: write a whole path, from / on' add x "${image##*/}" raw=yes --persist
refuses 'key-file: write a whole path' add x "$luks" key-file=x --persist
refuses 'No such file or directory' add x "$folder/nothing" raw=yes --persist
refuses "first.conf' is not there, or was not written by" remove first --persist
expect_equal "files" "" "$(files)"
printf '# somebody else\n' >"$folder/conf.d/ctl-mine.conf"
refuses "ctl-mine.conf' can't be written: File exists" add mine memory:1M raw=yes --persist
expect_equal "what somebody else wrote" '# somebody else' "$(cat "$folder/conf.d/ctl-mine.conf")"
rm "$folder/conf.d/ctl-mine.conf"
# What is mounted later is not in the sandbox.
if [ "$(id -u)" -eq 0 ] && [ "${TEST_SANDBOX-}" != strict ] && mount -t tmpfs -o size=4k,nr_inodes=20,mode=755 none "$folder/conf.d" 2>"$log_dir/mount"; then
    mounted=$folder/conf.d
    head --bytes=4096 /dev/zero >"$folder/conf.d/full"
    refuses "No space left on device" add x memory:1M raw=yes --persist
    expect_equal "files of a full disk" "full" "$(files)"
    clean_up_test
fi
stop_nbdcrypt
if ! is_sanitized; then # whose own calls come first
    preload=$(realpath "${top_builddir:-.}/tests/support/no-folder-sync.so")
    [ -e "$preload" ] || fail "tests/support/no-folder-sync.so was not built"
    LD_PRELOAD=$preload start
    refuses "Input/output error" add x memory:1M raw=yes --persist
    expect_equal "files of a folder that can't be made durable" "" "$(files)"
    stop_nbdcrypt
fi

# ---- from within the sandbox ----
mode=strict
! is_sanitized || mode=auto
start --sandbox "$mode"
ctl add kept memory:1M raw=yes --persist
expect_equal "files" "ctl-kept.conf" "$(files)"
ctl remove kept --persist
expect_equal "files" "" "$(files)"
stop_nbdcrypt

start_nbdcrypt --raw --control "$control" memory:1M
run_nbdcrypt ctl --socket "$control" add x memory:1M raw=yes --persist
expect_match "$err" 'the server was started without --config'
expect_failure 2 "--persist is for ctl add and remove" ctl --socket "$control" suspend x --persist
stop_nbdcrypt
