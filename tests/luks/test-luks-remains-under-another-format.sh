#!/bin/bash
# Where another format has taken the place of a LUKS header, the second copy of that is not believed, and nothing is
# written to a header beside another format's mark: no command changes a byte but with --force.
. "$(dirname "$0")/../support/functions.sh"

fast=(--pbkdf pbkdf2 --pbkdf-iterations 1000)
swap=$(PATH=$PATH:/usr/sbin:/sbin command -v mkswap) || skip "needs mkswap"
image=$test_dir/image good=$(temp_file) token=$(temp_file)
printf second >"$test_dir/second"
printf '{"type":"example","keyslots":["0"]}' >"$token"

# The first 4 KiB of other formats, as libblkid wants to see them.
python - "$test_dir" <<'END'
import struct
import sys
import zlib

xfs = bytearray(4096)
xfs[0:4] = b"XFSB"
struct.pack_into(">IQ", xfs, 4, 4096, 76800)
struct.pack_into(">IIIIIHHHH", xfs, 80, 1, 19200, 4, 0, 3693, 0xb4a4, 512, 256, 16)
xfs[120:128] = bytes([12, 9, 8, 4, 15, 0, 0, 25])
lvm = bytearray(4096)
lvm[512:520] = b"LABELONE"
struct.pack_into("<Q", lvm, 520, 1)
struct.pack_into("<I8s32s", lvm, 532, 32, b"LVM2 001", b"abcdefghijklmnopqrstuvwxyz012345")
crc = zlib.crc32(bytes(lvm[532:1024]), 0xf597a6cf ^ 0xffffffff) ^ 0xffffffff
struct.pack_into("<I", lvm, 528, crc)
for name, head in (("xfs", xfs), ("lvm", lvm)):
    with open(f"{sys.argv[1]}/{name}", "wb") as file:
        file.write(head)
END
truncate --size=1M "$test_dir/swap"
"$swap" "$test_dir/swap" >"$log_dir/mkswap" 2>&1

# expect_changes_refused MESSAGE TYPE NAME: by each command that changes a header; of $image, which holds NAME, too.
expect_changes_refused() {
    local before

    before=$(sha256_of "$image")
    expect_failure 1 "$1" key add --key-file "$passphrase" --new-key-file "$test_dir/second" "${fast[@]}" "$image"
    expect_failure 1 "$1" key change --key-file "$passphrase" --new-key-file "$test_dir/second" "${fast[@]}" "$image"
    expect_failure 1 "$1" key remove --force --slot 0 "$image"
    expect_failure 1 "$1" erase --yes "$image"
    if [ "$2" = luks2 ]; then
        expect_failure 1 "$1" token import "$image" "$token"
        expect_failure 1 "$1" header discard "$image" on
    fi
    expect_failure 1 "image '$image': it holds $3; give --force to overwrite the start of that" \
        header restore --yes "$image" "$test_dir/$2.backup"
    run_nbdcrypt format --key-file "$passphrase" "${fast[@]}" "$image"
    expect_equal "status of format" 1 "$status"
    expect_equal "checksum" "$before" "$(sha256_of "$image")"
}

for type in luks1 luks2; do
    expect_success format --force --type "$type" --key-file "$passphrase" --size 1M "${fast[@]}" "$good"
    cp "$good" "$test_dir/$type.image"
    expect_success header backup "$good" "$test_dir/$type.backup"
done

for format in "xfs:a file system (xfs)" "lvm:a part of a RAID or a volume group (LVM2_member)" \
    "swap:something of another kind (swap)"; do
    name=${format#*:}
    cp "$test_dir/luks2.image" "$image"
    dd if="$test_dir/${format%%:*}" of="$image" bs=4096 count=1 conv=notrunc status=none
    message="image '$image': LUKS header: its primary copy is damaged, and there is $name now, which may have taken \
its place; if the LUKS volume is what counts, remove that mark (wipefs) or restore the header from a backup"
    expect_failure 1 "$message" info "$image"
    expect_failure 1 "$message" serve --key-file "$passphrase" --unix "$(temp_socket)" "$image"
    expect_failure 1 "$message" serve --read-only --key-file "$passphrase" --unix "$(temp_socket)" "$image"
    expect_changes_refused "$message" luks2 "$name"
    expect_success header restore --force "$image" "$test_dir/luks2.backup"
    expect_success key test --key-file "$passphrase" "$image"
done

# A LUKS1 header reaches to byte 592, and may have the mark of a file system behind it.
cp "$test_dir/luks1.image" "$image"
printf '\123\357' | dd of="$image" bs=1 seek=1080 conv=notrunc status=none
expect_success key test --key-file "$passphrase" "$image"
expect_changes_refused "image '$image': beside the LUKS header there is a file system (ext2): nothing was changed; if \
that is a remnant, remove its mark (wipefs)" luks1 "a file system (ext2)"
