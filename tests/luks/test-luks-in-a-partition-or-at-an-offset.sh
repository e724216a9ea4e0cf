#!/bin/bash
# LUKS in a partition or at an offset, by ?partition=N and ?offset=BYTES&size=BYTES: every command works on that part
# alone, and others read it there; partitions of one file are served side by side; what makes no sense is refused.
. "$(dirname "$0")/../support/functions.sh"

export PATH=$PATH:/usr/sbin:/sbin
requires sfdisk --version
requires qemu-img --version
requires cryptsetup --version
fast=(--pbkdf pbkdf2 --pbkdf-iterations 1000)
plain=$(temp_file) second=$(temp_file) disk=$test_dir/disk
make_pattern "$plain" 4M
printf second >"$second"

# expect_start FILE URI: a disk begins with what is in the file.
expect_start() {
    nbdcopy "$2" "$test_dir/copy"
    cmp -n "$(size_of "$1")" "$1" "$test_dir/copy"
}

# make_disk: a table from standard input on a disk full of other people's data.
make_disk() {
    make_pattern "$disk" 160M 2
    dd if=/dev/zero of="$disk" bs=1M count=1 conv=notrunc status=none
    sfdisk --quiet "$disk" >"$log_dir/sfdisk" 2>&1
}

# start_and_size_of N: of a partition, as sfdisk reads it, in bytes.
start_and_size_of() {
    sfdisk --dump "$disk" | sed -n "s|^$disk$1 : start= *\([0-9]*\), size= *\([0-9]*\).*|\1 \2|p" |
        { read -r start size && echo $((start * 512)) $((size * 512)); }
}

# outside START SIZE: a checksum of all but that part.
outside() {
    { head -c "$1" "$disk" && tail -c +$(($1 + $2 + 1)) "$disk"; } | sha256sum
}

# expect_volume IMAGE START SIZE: all of our commands on the part, and others read it where it is.
expect_volume() {
    local before part=$test_dir/part

    before=$(outside "$2" "$3")
    expect_success format --force --key-file "$passphrase" "${fast[@]}" "$1"
    expect_success key add --key-file "$passphrase" --new-key-file "$second" "${fast[@]}" "$1"
    expect_success key test --key-file "$second" "$1"
    start_nbdcrypt --key-file "$second" "$1"
    nbdcopy --flush "$plain" "$uri"
    expect_equal "usable size of $1" $(($3 - (16 << 20))) "$(nbdinfo --size "$uri")"
    expect_success key remove --key-file "$passphrase" --slot 0 "$1" # beside the server
    stop_nbdcrypt
    expect_equal "the rest of the disk beside $1" "$before" "$(outside "$2" "$3")"
    expect_success info "$1"

    qemu_img convert -O raw --image-opts "driver=raw,offset=$2,size=$3,file.driver=file,file.filename=$disk" "$part"
    cryptsetup --key-file "$second" --test-passphrase open "$part" || fail "cryptsetup can't open $1"
    start_nbdcrypt --read-only --key-file "$second" "$part"
    expect_start "$plain" "$uri"
    stop_nbdcrypt
    expect_success erase --yes "$1"
    expect_equal "the rest of the disk beside $1" "$before" "$(outside "$2" "$3")"
}

# expect_partition N [PREFIX [PARAMETERS]]
expect_partition() {
    local start_bytes size_bytes

    read -r start_bytes size_bytes < <(start_and_size_of "$1")
    expect_volume "${2-}$disk?${3-}partition=$1" "$start_bytes" "$size_bytes"
}

# ---- tables ----

make_disk <<'END'
label: dos
size=20M, type=83
size=96M, type=5
size=24M, type=83
5: size=20M, type=83
6: size=30M, type=83
7: size=20M, type=83
END
for number in 1 5 7; do
    expect_partition "$number"
done
table="its table (dos) has partition 1 with 20971520 bytes (20 MiB), 3 with 25165824 bytes (24 MiB), \
5 with 20971520 bytes (20 MiB), 6 with 31457280 bytes (30 MiB), 7 with 20971520 bytes (20 MiB)"
expect_failure 1 "image '$disk?partition=8': partition 8 does not exist; $table" info "$disk?partition=8"
expect_failure 1 "image '$disk?partition=2': partition 2 is the extended one, which only holds others; $table" \
    serve --raw --unix "$(temp_socket)" "$disk?partition=2"

# Records that lead in a circle, or out of the disk, end.
start=$(start_and_size_of 5)
python - "$disk" "${start%% *}" <<'END'
import struct
import sys

with open(sys.argv[1], "r+b") as disk:
    record = int(sys.argv[2]) - (1 << 20)
    disk.seek(record)
    assert disk.read(512)[510:] == b"\x55\xaa"
    disk.seek(record + 446 + 16 + 8)
    disk.write(struct.pack("<I", 0))
END
run_nbdcrypt info "$disk?partition=6"
expect_equal "status with a circle" 1 "$status"
expect_match "$err" "partition 6 does not exist; its table .dos. has partition 1 with"

make_disk <<'END'
label: gpt
size=20M
size=24M
7: size=32M
END
expect_partition 1
expect_partition 2 file:
dd if=/dev/zero of="$disk" bs=512 seek=1 count=33 conv=notrunc status=none # the second copy is enough
expect_partition 7

# ---- an offset ----

expect_volume "$disk?offset=33M&size=40M" $((33 << 20)) $((40 << 20))
expect_volume "$disk?offset=100M" $((100 << 20)) $((60 << 20))
expect_volume "$disk?size=30M" 0 $((30 << 20))
expect_failure 1 "image '$disk?offset=160M': offset=167772160 is not inside the image, which has 167772160 bytes (160 MiB)" \
    info "$disk?offset=160M"
expect_failure 1 "image '$disk?offset=1M&size=160M': the part begins at byte 1048576 and has 167772160 bytes, which is \
beyond the end of the image: it has 167772160 bytes (160 MiB)" info "$disk?offset=1M&size=160M"
expect_failure 1 "image '$disk?offset=1M&size=18446744073709551104': the part begins at byte 1048576 and has \
18446744073709551104 bytes, which is beyond the end of the image: it has 167772160 bytes (160 MiB)" \
    info "$disk?offset=1M&size=18446744073709551104"
expect_failure 1 "image '$disk?offset=1000': offset=1000 is not a multiple of 512 bytes" info "$disk?offset=1000"
expect_failure 1 "image '$disk?offset=1M&size=1000': size=1000 is not a multiple of 512 bytes" info "$disk?offset=1M&size=1000"
expect_failure 1 "image '$disk?offset=1M&partition=1': partition= says where the part is: leave out offset= and size=" \
    info "$disk?offset=1M&partition=1"
expect_failure 1 "image '$disk?partition=0': partition: 0 is too small: the least is 1" info "$disk?partition=0"
expect_failure 1 "image '$disk?offset=1M&sise=4': behind '?' there may be format, snapshot, backing, offset, size or partition, not 'sise=4'" \
    info "$disk?offset=1M&sise=4"
dd if=/dev/zero of="$disk" bs=512 count=1 conv=notrunc status=none
dd if=/dev/zero of="$disk" bs=512 count=34 seek=$(((160 << 11) - 34)) conv=notrunc status=none
expect_failure 1 "image '$disk?partition=1': partition 1 does not exist: it has no partition table" info "$disk?partition=1"
run_nbdcrypt format --key-file "$passphrase" "${fast[@]}" --size 100M --force "$disk?offset=100M"
expect_equal "status of format of more than is there" 1 "$status"
expect_match "$err" "bytes are needed|are needed, and it can't be enlarged from here"
expect_equal "size of the disk" $((160 << 20)) "$(size_of "$disk")"

# A path may hold a question mark, and even what looks like parameters.
for name in "why?" "why?x=1" "odd?offset=1M"; do
    cp "$plain" "$test_dir/$name"
    parameters=
    [ "$name" != "odd?offset=1M" ] || parameters="?offset=0"
    start_nbdcrypt --raw --read-only "$test_dir/$name$parameters"
    expect_image "$plain" "$uri"
    stop_nbdcrypt
done

# Another server's disk.
make_disk <<'END'
label: dos
size=20M, type=83
size=96M, type=5
5: size=30M, type=83
6: size=20M, type=83
7: size=30M, type=83
END
start_nbdcrypt --raw "$disk"
remote=$uri remote_pid=$pid
expect_success format --force --key-file "$passphrase" "${fast[@]}" "$remote&partition=6"
start_nbdcrypt --key-file "$passphrase" "$remote&partition=6&retry-for=1"
nbdcopy --flush "$plain" "$uri"
stop_nbdcrypt
pid=$remote_pid
stop_nbdcrypt
start_nbdcrypt --read-only --key-file "$passphrase" "$disk?partition=6"
expect_start "$plain" "$uri"
stop_nbdcrypt
