#!/bin/bash
# An image that is made larger while it is served: on SIGHUP the server says so, who connects then sees and uses the new
# size, and who was connected goes on.  What does not grow (a fixed size, a partition, a smaller file) is left alone.
. "$(dirname "$0")/../support/functions.sh"

requires nbdinfo --version
requires qemu-io --version

image=$test_dir/image plain=$(temp_file)
make_pattern "$plain" 4M

# hang_up TEXT: and wait until the server has said this.
hang_up() {
    kill -HUP "$pid"
    wait_until 30 grep -qF -- "$1" "$server_log"
}

# expect_grown OLD NEW, in bytes
expect_grown() {
    hang_up "it has grown from $1 bytes"
    grep -F "it has grown from $1 bytes" "$server_log" | grep -qF "to $2 bytes"
    expect_equal "size" "$2" "$(nbdinfo --size "$uri")"
    qemu-io --format raw --cmd "write -P 71 $1 $(($2 - $1))" --cmd "read -P 71 $1 $(($2 - $1))" "$uri" >"$log_dir/qemu-io" ||
        fail "what was added can't be used"
}

for type in luks1 luks2; do
    encrypt_by_nbdcrypt "$plain" "$image" --type "$type"
    header=$(($(size_of "$image") - 4194304))
    start_nbdcrypt --key-file "$passphrase" "$image"
    # A client that stays, with one command before and one after.
    : >"$test_dir/answers"
    mkfifo "$test_dir/commands.$type"
    qemu-io --read-only --format raw "$uri" <"$test_dir/commands.$type" >"$test_dir/answers" 2>&1 &
    client=$!
    remember_pid "$client"
    exec 7>"$test_dir/commands.$type"
    printf 'read 0 512\n' >&7
    wait_until 30 grep -q "512/512" "$test_dir/answers"
    truncate --size=$((header + 6291456 + 511)) "$image"
    expect_grown 4194304 6291456
    truncate --size=$((header + 8388608)) "$image"
    expect_grown 6291456 8388608
    printf 'read 4096 1024\n' >&7
    wait_until 30 grep -q "1024/1024" "$test_dir/answers"
    exec 7>&-
    wait "$client"
    nbdcopy "$uri" "$test_dir/copy"
    cmp -n 4194304 "$plain" "$test_dir/copy"
    stop_nbdcrypt
done

# Raw, and with blocks that the image is addressed by.
start_nbdcrypt --raw "$image"
size=$(size_of "$image")
truncate --size=+4096 "$image"
expect_grown "$size" $((size + 4096))
stop_nbdcrypt

# A part, and a file that has become smaller: nothing is told of the first, and nothing breaks.
start_nbdcrypt --raw --export "part=$image?offset=1M" --export "all=$image" --read-only
part="nbd+unix:///part?socket=$socket"
before=$(nbdinfo --size "$part")
truncate --size=+1M "$image"
hang_up "export 'part': its image has grown to"
hang_up "export 'all': it has grown from"
expect_equal "size of a part" "$before" "$(nbdinfo --size "$part")"
all="nbd+unix:///all?socket=$socket"
before=$(nbdinfo --size "$all")
truncate --size=-2M "$image"
kill -HUP "$pid"
expect_equal "size of a smaller file" "$before" "$(nbdinfo --size "$all")"
