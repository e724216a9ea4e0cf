#!/bin/bash
# `nbdcrypt info` tells of a qcow2 image what qemu-img tells, without a key and without opening its backing file: of one that
# QEMU encrypted as of one that is named.  One in clear that was not named is told by a failure, because success means encryption.
. "$(dirname "$0")/../support/functions.sh"

requires qemu-img --version
cd "$test_dir"
make_pattern plain 1M
printf key >key
secret=secret,id=key,file=key

qemu_img convert -f raw -O qcow2 -o cluster_size=32K plain 'image'
qemu-img snapshot -q -c one image
qemu-img snapshot -q -c two image
qemu-img create -q -f qcow2 -u -F raw -b $'missing\e\xff' overlay 3M
qemu-img create -q -f qcow old 2M
qemu-img create -q --object "$secret" -f qcow2 -o encrypt.format=aes,encrypt.key-secret=key aes 5M
for attempt in {1..50}; do # QEMU measures the speed of its key derivation, and gives up now and then
    qemu-img create -q --object "$secret" -f qcow2 \
        -o encrypt.format=luks,encrypt.key-secret=key,encrypt.iter-time=10 luks 6M >>"$log_dir/qemu-img" 2>&1 && break
    note "qemu-img, attempt $attempt of 50"
done

# expect_json IMAGE < lines of KEY VALUE: values are JSON.
expect_json() {
    expect_success info --json "$1"
    python "$support_dir/expect-json.py" "$out"
}

expect_json 'image?format=qcow2' <<'END'
type "qcow2"
version 3
size 1048576
cluster-size 32768
compression "zlib"
encryption "none"
backing-file null
snapshot-count 2
corrupt false
luks null
END
expect_json 'overlay?format=qcow2' <<'END'
size 3145728
backing-file "missing??"
backing-format "raw"
END
expect_json 'old?format=qcow2' <<'END'
version 1
size 2097152
END
for name in aes 'aes?format=qcow2'; do
    expect_json "$name" <<'END'
encryption "aes"
size 5242880
luks null
END
done
uuid=$(qemu-img info --output=json luks |
    "$PYTHON" -c 'import json, sys; print(json.load(sys.stdin)["format-specific"]["data"]["encrypt"]["uuid"])')
for name in luks 'luks?format=qcow2'; do
    expect_json "$name" <<END
encryption "luks"
size 6291456
luks.uuid "$uuid"
luks.cipher "aes-xts-plain64"
luks.keyslots.0.slot 0
END
    expect_success info "$name"
    expect_message "$out" "Type:            qcow2, version 3"
    expect_message "$out" "Encryption:      LUKS inside of qcow2"
    expect_message "$out" "UUID:            $uuid"
    expect_match "$out" '^Keyslot 0: +pbkdf2'
done
expect_success info 'image?format=qcow2'
expect_message "$out" "Encryption:      none: the disk is as the image has it"
expect_message "$out" "Snapshots:       2"

# ---- success means encryption, or that who asks has said what it is ----

for name in image overlay old; do
    expect_failure 1 "image '$name': it is a qcow2 image, and the disk in it is not encrypted; if that is meant, name it \
'$name?format=qcow2', which --raw serves as it is, for reading, and nbdcrypt info shows" info "$name"
done
expect_success info --expect-uuid "$uuid" 'luks?format=qcow2'
run_nbdcrypt info --expect-uuid 00000000-1111-2222-3333-444444444444 'luks?format=qcow2'
expect_equal "exit status with another UUID" 1 "$status"
for name in luks 'aes?format=qcow2' 'image?format=qcow2' 'overlay?format=qcow2'; do
    run_nbdcrypt info --cipher aes-xts-plain64 "$name"
    expect_equal "exit status of $name where a cipher is demanded" 1 "$status"
    [ -s "$err" ] || fail "no word of why $name is refused"
done
# A part of the disk is not the image.
expect_failure 1 "image 'image?format=qcow2&offset=512&size=4096': no LUKS header found: if the header is apart, name it by \
--header" info 'image?format=qcow2&offset=512&size=4096'
