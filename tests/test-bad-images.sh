#!/bin/bash
# What cannot be served: one sentence each, that names the image and the cause; nothing is changed.
. "$(dirname "$0")/functions.sh"

image=$test_dir/image
serve=(serve --unix "$(temp_socket)")
with_key=("${serve[@]}" --key-file "$passphrase")
backends='file:, memory:, nbdkit:, nbd:, nbds:, nbd+unix:, nbds+unix:'
case $("$NBDCRYPT" info rbd: 2>&1 || true) in
*'no backend is called'*) ;; # built without librbd
*) backends+=', rbd:' ;;
esac
sizes='write a number of bytes below 2^64, or one with K, M, G or T behind it (powers of 1024), such as 512M'

expect_failure 1 "image '$image': it can't be opened: No such file or directory" "${serve[@]}" --raw "$image"
expect_failure 1 "image '$image': it can't be opened: No such file or directory" "${with_key[@]}" "$image"
expect_failure 1 "image 'file:$image': it can't be opened: No such file or directory" "${serve[@]}" --raw "file:$image"
expect_failure 1 "image '$image': it can't be opened: No such file or directory" info "$image"
expect_failure 1 "image '$test_dir': it can't be opened: Is a directory" "${serve[@]}" --raw "$test_dir"
expect_failure 1 "image 'nosuch:x': no backend is called 'nosuch' (there are $backends); for a file of that name write './nosuch:x'" \
    "${serve[@]}" --raw nosuch:x
expect_failure 1 "image 'memory:12Q': '12Q' is not a size: $sizes" "${serve[@]}" --raw memory:12Q
expect_failure 1 "image 'memory:': '' is not a size: $sizes" "${serve[@]}" --raw memory:
expect_failure 1 "image 'memory:1M': no LUKS header found; to serve an image as it is, without encryption, give --raw" "${with_key[@]}" memory:1M

# Not LUKS: what it is instead is not our business here, and nothing of it is touched.
make_pattern "$image" 1M
for size in 1M 4K 100 1 0; do
    truncate --size="$size" "$image"
    before=$(sha256_of "$image")
    expect_failure 1 "image '$image': no LUKS header found; to serve an image as it is, without encryption, give --raw" "${with_key[@]}" "$image"
    expect_failure 1 "image '$image': no LUKS header found" info "$image"
    expect_equal "checksum" "$before" "$(sha256_of "$image")"
done
[ ! -e "${serve[2]}" ] || fail "a server that did not start has left its socket"
