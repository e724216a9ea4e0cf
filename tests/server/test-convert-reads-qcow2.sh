#!/bin/bash
# `nbdcrypt convert` turns qcow2 images into encrypted volumes, as qemu-img converts them: found by their content, compressed, with a
# backing file that is allowed, encrypted by QEMU. A wrong passphrase makes nothing.
. "$(dirname "$0")/../support/functions.sh"

requires qemu-img --version
plain=$test_dir/plain
make_pattern "$test_dir/part" 1M
truncate --size=8M "$plain"
dd if="$test_dir/part" of="$plain" bs=1M seek=1 conv=notrunc status=none
dd if="$test_dir/part" of="$plain" bs=1M seek=6 conv=notrunc status=none
printf "%s" "a line of text, as disks have them" >"$test_dir/text"
dd if="$test_dir/text" of="$plain" conv=notrunc status=none
new=(--key-file "$passphrase" --pbkdf pbkdf2 --pbkdf-iterations 1000)
wrong=$test_dir/wrong
printf 'wrong' >"$wrong"
cd "$test_dir"

# expect_converted [OPTION...] IMAGE
expect_converted() {
    rm -f target
    expect_success convert "${new[@]}" --verify "$@" target
    expect_success compare --key-file "$passphrase" "$plain" target
}

qemu-img convert -f raw -O qcow2 plain image.qcow2
qemu-img convert -f raw -O qcow2 -c plain compressed.qcow2
expect_converted image.qcow2
expect_converted --from-format qcow2 compressed.qcow2
expect_converted 'image.qcow2?format=qcow2'
expect_success compare image.qcow2 compressed.qcow2
expect_success map --json compressed.qcow2
"$PYTHON" -c 'import json, sys
extents = json.load(sys.stdin)
assert sum(e["length"] for e in extents) == 8 << 20 and any(e["zero"] for e in extents), extents' <"$out"
expect_success convert --to-format raw image.qcow2 raw
cmp plain raw || fail "the plain disk is another one"

# What a guest has written does not make a raw disk another one.
rm -f target
expect_success convert "${new[@]}" --from-format raw image.qcow2 target
expect_success compare --from-format raw --key-file "$passphrase" image.qcow2 target

# A backing file, by permission.
qemu-img create -q -f qcow2 -b image.qcow2 -F qcow2 overlay.qcow2
rm -f target
ASAN_OPTIONS=detect_leaks=0:${ASAN_OPTIONS-} run_nbdcrypt convert "${new[@]}" overlay.qcow2 target
expect_equal "exit status without permission" 1 "$status"
[ ! -e target ] || fail "a target was made for nothing"
expect_converted 'overlay.qcow2?format=qcow2&backing=allow'

# What QEMU encrypted, which measures the speed of its key derivation, and fails now and then.
for method in aes luks; do
    options=encrypt.format=$method,encrypt.key-secret=key
    [ "$method" = aes ] || options+=,encrypt.iter-time=10
    for attempt in {1..10}; do
        qemu-img create -q --object "secret,id=key,file=$passphrase" -f qcow2 -o "$options" "$method" 8M >>"$log_dir/qemu-img" 2>&1 && break
        note "qemu-img, attempt $attempt of 10"
    done
    qemu-img convert -q -n --object "secret,id=key,file=$passphrase" -f raw plain --target-image-opts \
        "driver=qcow2,file.driver=file,file.filename=$method,encrypt.format=$method,encrypt.key-secret=key"
    rm -f target
    ASAN_OPTIONS=detect_leaks=0:${ASAN_OPTIONS-} run_nbdcrypt convert "${new[@]}" --source-key-file "$wrong" "$method" target
    expect_equal "exit status with a wrong passphrase of $method" 1 "$status"
    [ ! -e target ] || fail "a target was made of noise"
    run_nbdcrypt convert "${new[@]}" --source-key-file "$passphrase" --verify "$method" target
    expect_equal "exit status of $method" 0 "$status"
    expect_success compare --key-file "$passphrase" "$plain" target
done
rm -f target
run_nbdcrypt convert "${new[@]}" --source-i-know-the-passphrase --source-key-file "$wrong" aes target
expect_equal "exit status of who knows the passphrase" 0 "$status"
expect_match "$err" "looks like noise; going on \(--source-i-know-the-passphrase\)"

# Of either end the message names the option that is its own.
expect_noise() {
    run_nbdcrypt "${@:2}"
    [ "$status" -ne 0 ] || fail "no failure with a wrong passphrase: $*"
    expect_match "$err" "if it is right, $1 goes on"
}
rm -f target
expect_noise --source-i-know-the-passphrase convert "${new[@]}" --source-key-file "$wrong" aes target
expect_noise --source-i-know-the-passphrase compare --source-key-file "$wrong" aes "$plain"
expect_noise --i-know-the-passphrase compare --key-file "$wrong" "$plain" aes
expect_noise --source-i-know-the-passphrase measure --source-key-file "$wrong" aes
expect_noise --i-know-the-passphrase map --key-file "$wrong" aes

# It goes on in one, too.
rm -f target
"$NBDCRYPT" convert "${new[@]}" --bandwidth 512K compressed.qcow2 target >"$log_dir/killed" 2>&1 &
converting=$!
remember_pid "$converting"
begun() { "$NBDCRYPT" token export target 2>/dev/null | grep -E '"done": ?"[1-9]' >/dev/null; }
wait_until 20 begun
kill -KILL "$converting"
wait "$converting" 2>/dev/null || true
expect_success convert "${new[@]}" --verify compressed.qcow2 target
expect_match "$out" '^Going on at byte [0-9]+\.$'
expect_success compare --key-file "$passphrase" "$plain" target
