#!/bin/bash
# --size is what clients get, to the byte (rounded up to a sector); without it the whole image is used.
. "$(dirname "$0")/../support/functions.sh"

requires nbdinfo --version
fast=(--key-file "$passphrase" --pbkdf pbkdf2 --pbkdf-iterations 1000)

# expect_size BYTES IMAGE
expect_size() {
    start_nbdcrypt --key-file "$passphrase" "$2"
    expect_equal "usable size" "$1" "$(nbdinfo --size "$uri")"
    stop_nbdcrypt
}

for type in luks1 luks2; do
    for size in 10M:10485760 512:512 1048064:1048064 1000:1024; do
        image=$test_dir/$type-${size%:*}
        expect_success format "${fast[@]}" --type "$type" --sector-size 512 --size "${size%:*}" "$image"
        expect_size "${size#*:}" "$image"
        expect_equal "mode" 600 "$(stat --format=%a "$image")"
    done
done
image=$test_dir/4k
expect_success format "${fast[@]}" --sector-size 4096 --size 4097 "$image"
expect_size 8192 "$image"

# What exists is used whole, or enlarged, but never cut: what is larger than --size says is refused, --force or not.
image=$test_dir/existing
truncate --size=20M "$image"
expect_success format "${fast[@]}" "$image"
expect_size $((4 << 20)) "$image"
truncate --size=0 "$image"
truncate --size=20M "$image"
expect_success format "${fast[@]}" --size 30M "$image"
expect_size $((30 << 20)) "$image"
truncate --size=0 "$image"
truncate --size=100M "$image"
for force in "" --force; do
    # shellcheck disable=SC2086 # nothing or one word
    expect_failure 1 "'$image' has 104857600 bytes, which makes a usable size of 88080384 and not of 31457280 as --size says: \
leave out --size to use all of it, or make it 48234496 bytes large before" format "${fast[@]}" $force --size 30M "$image"
    expect_equal "size of the file" $((100 << 20)) "$(size_of "$image")"
done
truncate --size=48234496 "$image"
expect_success format "${fast[@]}" --size 30M "$image"
expect_size $((30 << 20)) "$image"
expect_success format "${fast[@]}" --force --size 30M "$image"
expect_size $((30 << 20)) "$image"
# So it is for data whose header is elsewhere.
truncate --size=2M "$test_dir/data"
expect_failure 1 "'$test_dir/data' has 2097152 bytes, which makes a usable size of 2097152 and not of 1048576 as --size says: \
leave out --size to use all of it, or make it 1048576 bytes large before" \
    format "${fast[@]}" --header "$test_dir/header" --size 1M "$test_dir/data"
[ ! -e "$test_dir/header" ] || fail "a header is left behind"
