#!/bin/bash
# qcow2 images of each kind that qemu-img makes are served byte for byte as qemu-img converts them, with the holes that
# they have; they are read-only, snapshots are found by name, and what could lead to other files is refused.
. "$(dirname "$0")/../support/functions.sh"

requires qemu-img --version
requires qemu-io --version
images=$test_dir/images
mkdir "$images"
cd "$images"
exports=()

# serves NAME IMAGE: to be served under that name, and compared with what QEMU makes of it.
serves() {
    exports+=(--export "$1=$2")
    qemu_img convert -O raw "${@:3}" "${2%%\?*}" "$test_dir/$1.raw"
}

# write_shuffled FILE: clusters in no order, zeros with and without a place, and what is left of a discard.
write_shuffled() {
    local at commands=()

    for at in 7340032 131072 9000000 65535 4194304 196608 1048576 5000000; do
        commands+=(-c "write -q -P $((at % 251)) $at 100000")
    done
    qemu-io -f "${2-qcow2}" "${commands[@]}" -c "write -q -z 4194304 65536" -c "write -q -z 8388608 131072" \
        -c "discard -q 1048576 65536" "$1" >"$log_dir/qemu-io" 2>&1 || fail "qemu-io: $(cat "$log_dir/qemu-io")"
}

plain=$test_dir/plain
make_pattern "$plain" 5M
dd if=/dev/zero of="$plain" bs=1M seek=2 count=1 conv=notrunc status=none
{ yes "what can be compressed" || true; } | dd of="$plain" bs=64K seek=52 count=20 iflag=fullblock conv=notrunc status=none
truncate --size=5243392 "$plain" # no whole number of clusters

# ---- as qemu-img writes them ----

while read -r name options; do
    # shellcheck disable=SC2086 # several words
    qemu_img convert $options "$plain" "$name" || [ "$name" = v1-compressed ] # qemu-img 7.2 fails when it is done
    serves "$name" "$images/$name?format=qcow2"
done <<'END'
v1 -O qcow
v1-compressed -c -O qcow
v2 -O qcow2 -o compat=0.10
v2-compressed -c -O qcow2 -o compat=0.10
v3 -O qcow2
v3-512 -O qcow2 -o cluster_size=512
v3-2m -O qcow2 -o cluster_size=2M
zlib -c -O qcow2
zlib-512 -c -O qcow2 -o cluster_size=512
zlib-2m -c -O qcow2 -o cluster_size=2M
subclusters -O qcow2 -o extended_l2=on
subclusters-zlib -c -O qcow2 -o extended_l2=on,cluster_size=16k
END
if ldd "$NBDCRYPT" | grep -q libzstd && qemu_img convert -c -O qcow2 -o compression_type=zstd "$plain" zstd; then
    serves zstd "$images/zstd?format=qcow2"
    qemu_img convert -c -O qcow2 -o compression_type=zstd,cluster_size=2M "$plain" zstd-2m
    serves zstd-2m "$images/zstd-2m?format=qcow2"
fi

# ---- as machines write them ----

while read -r name options; do
    # shellcheck disable=SC2086 # several words
    qemu_img create -f qcow2 $options "$name" 10M
    write_shuffled "$name"
    serves "$name" "$images/$name?format=qcow2"
done <<'END'
shuffled
shuffled-4k -o cluster_size=4k
shuffled-v2 -o compat=0.10
shuffled-subclusters -o extended_l2=on
allocated -o preallocation=metadata
lazy -o lazy_refcounts=on
END
qemu_img create -q -f qcow2 empty 1T
qemu_img create -q -f qcow2 large 1T
qemu-io -f qcow2 -c "write -q -P 7 1099511562240 65536" -c "write -q -P 9 599999971328 65536" large
exports+=(--export "empty=$images/empty?format=qcow2" --export "large=$images/large?format=qcow2")

# ---- snapshots ----

qemu_img create -f qcow2 snapshots 10M
write_shuffled snapshots
qemu_img snapshot -c before snapshots
qemu-io -f qcow2 -c "write -q -P 99 0 3M" snapshots
qemu_img snapshot -c 1 snapshots # as the first one's id
qemu-io -f qcow2 -c "write -q -P 98 5M 3M" snapshots
serves now "$images/snapshots?format=qcow2"
serves before "$images/snapshots?format=qcow2&snapshot=before" -l snapshot.name=before
serves one "$images/snapshots?format=qcow2&snapshot=1" -l snapshot.name=1
serves two "$images/snapshots?snapshot=2&format=qcow2" -l snapshot.name=1

# ---- compared ----

start_nbdcrypt --raw "${exports[@]}"
server_uri() {
    echo "nbd+unix:///$1?${uri#*\?}"
}
for raw in "$test_dir"/*.raw; do
    name=$(basename "$raw" .raw)
    nbdcopy "$(server_uri "$name")" "$test_dir/copy"
    cmp "$raw" "$test_dir/copy" || fail "$name is not what QEMU reads"
done
expect_equal "an empty disk of 1 TiB is one hole" "1099511627776 100.0% 3 hole,zero" \
    "$(nbdinfo --map --totals "$(server_uri empty)" | xargs)"
expect_equal "two clusters of a large one" \
    "0 599999971328 3 hole,zero 599999971328 65536 0 data" \
    "$(nbdinfo --map "$(server_uri large)" | sed -n 's/^ *//;1,2p' | xargs)"
for name in shuffled v2 zlib subclusters; do
    nbdinfo --map --totals "$(server_uri "$name")" | grep -q "hole,zero" || fail "$name has no holes"
done
nbdinfo "$(server_uri v3)" | grep -q "is_read_only: true" || fail "it is not read-only"
nbdsh -u "$(server_uri v3)" -c 'h.set_strict_mode(0)' -c '
try:
    h.pwrite(bytes(512), 0)
    raise SystemExit("it was written")
except nbd.Error as error:
    print(error)' >"$log_dir/write"
expect_alive "$uri"
stop_nbdcrypt

# ---- an unaligned reader, on an image that is also part of something ----

start_nbdcrypt --raw "$images/zlib-512?format=qcow2&offset=512&size=4M"
nbdsh -u "$uri" -c "
plain = open('$plain', 'rb').read()[512:512 + (4 << 20)]
for at, length in (0, 1), (1, 511), (511, 2), (65535, 70000), ((4 << 20) - 3, 3), (3400000, 100001):
    assert h.pread(length, at) == plain[at:at + length], (at, length)"
stop_nbdcrypt

# ---- of another server, and without the page cache ----

start_nbdcrypt --raw "$images/zlib-512"
file_server=$socket
start_nbdcrypt --raw --export "=nbd+unix:///?socket=$file_server&format=qcow2" \
    --export "before=nbd+unix:///?format=qcow2&socket=$file_server&offset=64K"
nbdcopy "$uri" "$test_dir/copy"
cmp "$test_dir/zlib-512.raw" "$test_dir/copy" || fail "an image of another server is not what QEMU reads"
stop_nbdcrypt
# shellcheck disable=SC2016 # $uri is for the command
run_nbdcrypt serve --unix "$(temp_socket)" --raw --direct --run 'nbdcopy "$uri" '"'$test_dir/direct'" \
    "$images/zlib-2m?format=qcow2"
if [ "$status" -eq 0 ]; then
    cmp "$test_dir/zlib-2m.raw" "$test_dir/direct" || fail "with --direct it is not what QEMU reads"
else
    expect_match "$err" "O_DIRECT"
fi

# ---- refused ----

never=$(temp_socket)
expect_failure 1 "image '$images/snapshots?format=qcow2&snapshot=x': it has no snapshot 'x'; it has before, 1" \
    serve --unix "$never" --raw "$images/snapshots?format=qcow2&snapshot=x"
expect_failure 1 "image '$images/v3?format=qcow3': format=qcow3 is not known: there are raw and qcow2" \
    serve --unix "$never" --raw "$images/v3?format=qcow3"
expect_failure 1 "image '$images/v3?snapshot=x': snapshot= is for format=qcow2" serve --unix "$never" --raw "$images/v3?snapshot=x"
expect_failure 1 "image '$plain?format=qcow2': it is no qcow2 image: it does not begin with \"QFI\\xfb\"" \
    serve --unix "$never" --raw "$plain?format=qcow2"
qemu_img create -f qcow2 -F raw -b /etc/hostname overlay 1M
expect_failure 1 "image '$images/overlay?format=qcow2': it has the backing file '/etc/hostname', which is not opened \
unasked, for who made the image could name any file: backing=allow opens it where it is in the same folder, and \
backing=IMAGE names it" \
    serve --unix "$never" --raw "$images/overlay?format=qcow2"
qemu_img create -f qcow2 -o data_file=data apart 1M
expect_failure 1 "image '$images/apart?format=qcow2': its data is in another file, which is refused: who controls the \
image could name any file (qemu-img convert makes an image of the two)" serve --unix "$never" --raw "$images/apart?format=qcow2"

for command in "format --force --key-file $passphrase --pbkdf pbkdf2" "erase --yes" \
    "key add --key-file $passphrase --new-key-file $passphrase"; do
    before=$(sha256sum "$images/large")
    # shellcheck disable=SC2086 # several words
    run_nbdcrypt $command "$images/large?format=qcow2"
    expect_equal "exit status of '$command'" 1 "$status"
    expect_match "$err" "'$images/large\?format=qcow2': .*(it can't be written|no LUKS header found)"
    expect_equal "the image after '$command'" "$before" "$(sha256sum "$images/large")"
done

# ---- one that QEMU is writing ----

mkfifo "$test_dir/commands"
qemu-io -f qcow2 v3 <"$test_dir/commands" >"$log_dir/qemu-writer" 2>&1 &
remember_pid $!
exec 9>"$test_dir/commands"
echo "read 0 512" >&9
wait_until 10 grep -q "read 512" "$log_dir/qemu-writer"
expect_failure 1 "image '$images/v3?format=qcow2': another program has it open for writing; end that first" \
    serve --unix "$never" --raw "$images/v3?format=qcow2"
exec 9>&-
