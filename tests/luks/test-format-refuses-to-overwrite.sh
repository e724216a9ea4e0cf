#!/bin/bash
# `nbdcrypt format` leaves alone what holds anything, says what it is, and overwrites it with --force only.
. "$(dirname "$0")/../support/functions.sh"

requires cryptsetup --version
swap=$(PATH=$PATH:/usr/sbin:/sbin command -v mkswap) || skip "needs mkswap"
fast=(--key-file "$passphrase" --pbkdf pbkdf2 --pbkdf-iterations 1000)
image=$(temp_file)

# expect_refusal WHAT: of what is in $image.
expect_refusal() {
    local before

    before=$(sha256_of "$image")
    expect_failure 1 "'$image' is not empty: it holds $1; give --force to overwrite it, which destroys what is there" \
        format "${fast[@]}" "$image"
    expect_failure 1 "'$image' is not empty: it holds $1; give --force to overwrite it, which destroys what is there" \
        format "${fast[@]}" --size 64M "$image"
    expect_equal "checksum" "$before" "$(sha256_of "$image")"
}

truncate --size=20M "$image"
printf x | dd of="$image" bs=1 seek=5000000 conv=notrunc status=none
expect_refusal data
format_luks2 "$image" 1M
expect_refusal "a LUKS volume"
truncate --size=0 "$image" && truncate --size=20M "$image"
printf 'QFI\373' | dd of="$image" bs=1 conv=notrunc status=none
expect_refusal "a QEMU qcow2 image"
truncate --size=0 "$image" && truncate --size=20M "$image"
printf '\123\357' | dd of="$image" bs=1 seek=1080 conv=notrunc status=none
expect_refusal "a file system (ext2)"

truncate --size=0 "$image" && truncate --size=20M "$image"
"$swap" "$image" >"$log_dir/mkswap" 2>&1
expect_refusal "something of another kind (swap)"

# A detached header is protected too, and so is the image that it would make unreadable.
header=$(temp_file)
printf 'letters' >"$header"
before=$(sha256_of "$header")
truncate --size=0 "$image" && truncate --size=20M "$image"
run_nbdcrypt format "${fast[@]}" --header "$header" "$image"
expect_equal "exit status" 1 "$status"
expect_match "$err" "^nbdcrypt: '$header' is not empty"
expect_equal "checksum of the header file" "$before" "$(sha256_of "$header")"
expect_equal "size of the image" $((20 << 20)) "$(size_of "$image")"

printf 'letters' | dd of="$image" bs=1 conv=notrunc status=none
expect_success format "${fast[@]}" --force "$image"
cryptsetup_quietly open --test-passphrase "$image"
