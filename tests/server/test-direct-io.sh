#!/bin/bash
# With --direct any offset and length still works, raw and LUKS, also in a file whose size is no whole number of
# blocks: what lies behind the last whole block is not served, and stays as it is.
. "$(dirname "$0")/../support/functions.sh"

requires cryptsetup --version
requires fio --enghelp=nbd

# The temporary folder may be on a file system without O_DIRECT.
probe=$test_dir/probe
truncate --size=1M "$probe"
dd if="$probe" of=/dev/null bs=4096 count=1 iflag=direct 2>/dev/null ||
    skip "the file system of $test_dir has no O_DIRECT"

# Pieces that begin and end anywhere, up to 300 KiB.
verify_randomly() {
    (cd "$test_dir" && fio --name=direct --ioengine=nbd --uri="$uri" --rw=randwrite \
        --bsrange=512-300k --bs_unaligned=1 --size="$1" --iodepth=16 --verify=crc32c \
        --verify_fatal=1 --verify_state_save=0 --randseed=1 --output="$log_dir/fio") ||
        fail "fio found something wrong"
}

raw=$(temp_file) tail_before=$(temp_file) tail_after=$(temp_file)
make_pattern "$raw" 17M
truncate --size=$((16 * 1024 * 1024 + 100)) "$raw"
tail --bytes=100 "$raw" >"$tail_before"
start_nbdcrypt --raw --direct "$raw"
expect_equal "size" $((16 * 1024 * 1024)) "$(nbdinfo --size "$uri")"
verify_randomly 16M
stop_nbdcrypt
tail --bytes=100 "$raw" >"$tail_after"
cmp "$tail_before" "$tail_after"

for sector_size in 512 4096; do
    image=$(temp_file)
    format_luks2 "$image" 16M --sector-size "$sector_size"
    start_nbdcrypt --key-file "$passphrase" --direct "$image"
    verify_randomly 16M
    plain=$(temp_file)
    nbdcopy "$uri" "$plain"
    stop_nbdcrypt
    start_nbdcrypt --key-file "$passphrase" "$image" # through the page cache: the same
    expect_image "$plain" "$uri"
    stop_nbdcrypt
done
