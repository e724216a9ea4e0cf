#!/bin/bash
# qcow2 images that QEMU encrypted, by AES or by LUKS, are served as qemu-img decrypts them, whether or not they are called
# qcow2; a wrong passphrase of AES, which nothing in the format tells, is told by what it decrypts; and demands are not
# met by something else than a LUKS header.
. "$(dirname "$0")/../support/functions.sh"

requires qemu-img --version
requires qemu-io --version
images=$test_dir/images
mkdir "$images"
cd "$images"
never=$(temp_socket)
short=$test_dir/short long=$test_dir/long accents=$test_dir/accents wrong=$test_dir/wrong
printf abc >"$short"
printf 'more than sixteen characters' >"$long"
printf 'pässwörd' >"$accents"
printf wrong >"$wrong"
plain=$test_dir/plain
make_pattern "$plain" 3M
dd if=/dev/zero of="$plain" bs=64K seek=5 count=3 conv=notrunc status=none
exports=()

# options KEY-FILE DRIVER FILE METHOD: how QEMU opens it.
options() {
    echo "driver=$2,file.driver=file,file.filename=$3,encrypt.format=$4,encrypt.key-secret=key"
}

# encrypt NAME KEY-FILE FORMAT METHOD [OPTION,...]: the plain disk, and clusters that are written in no order.
encrypt() {
    local secret="secret,id=key,file=$2" attempt

    for attempt in {1..50}; do # QEMU gives up now and then: see encrypt_to_qemu_luks
        qemu-img create -q --object "$secret" -f "$3" -o "encrypt.format=$4,encrypt.key-secret=key${5:+,$5}" "$1" 4M \
            >>"$log_dir/qemu-img" 2>&1 && break
        note "qemu-img, attempt $attempt of 50: $(tail -n 1 "$log_dir/qemu-img")"
    done
    qemu-img convert -q -n --object "$secret" -f raw "$plain" --target-image-opts "$(options "$2" "$3" "$1" "$4")" \
        >>"$log_dir/qemu-img" 2>&1
    qemu-io --object "$secret" --image-opts "$(options "$2" "$3" "$1" "$4")" -c "write -q -P 7 3900000 60000" \
        -c "write -q -P 8 3300000 70000" -c "write -q -P 9 100 1000" >"$log_dir/qemu-io" 2>&1
    qemu-img convert -q --object "$secret" --image-opts "$(options "$2" "$3" "$1" "$4")" -O raw "$1.raw"
    exports+=(--export "$1=$images/$1,key-file=$2")
}

luks=encrypt.iter-time=10
encrypt aes "$passphrase" qcow2 aes
encrypt aes-v1 "$short" qcow aes
encrypt aes-v2 "$long" qcow2 aes compat=0.10
encrypt aes-512 "$accents" qcow2 aes cluster_size=512
encrypt aes-subclusters "$passphrase" qcow2 aes extended_l2=on
encrypt luks "$passphrase" qcow2 luks $luks
encrypt luks-2m "$accents" qcow2 luks $luks,cluster_size=2M
encrypt luks-cbc "$short" qcow2 luks $luks,encrypt.cipher-alg=aes-128,encrypt.cipher-mode=cbc,encrypt.ivgen-alg=essiv,encrypt.ivgen-hash-alg=sha256

# A snapshot keeps what was there, by other host sectors.
for method in aes luks; do
    secret="secret,id=key,file=$passphrase"
    cp $method $method-snapshot
    qemu-img snapshot -q -c before --object "$secret" --image-opts "$(options "$passphrase" qcow2 $method-snapshot $method)"
    qemu-io --object "$secret" --image-opts "$(options "$passphrase" qcow2 $method-snapshot $method)" \
        -c "write -q -P 77 0 1M" >"$log_dir/qemu-io" 2>&1
    cp $method.raw $method-snapshot.raw
    exports+=(--export "$method-snapshot=$images/$method-snapshot?format=qcow2&snapshot=before,key-file=$passphrase")
done

start_nbdcrypt "${exports[@]}"
for raw in *.raw; do
    name=${raw%.raw}
    nbdcopy "nbd+unix:///$name?${uri#*\?}" "$test_dir/copy"
    cmp "$raw" "$test_dir/copy" || fail "$name is not what QEMU reads"
done
nbdsh -u "nbd+unix:///aes?${uri#*\?}" -c "
raw = open('aes.raw', 'rb').read()
for at, length in (1, 1), (100, 1000), (511, 2), (65535, 70000), (len(raw) - 1, 1):
    assert h.pread(length, at) == raw[at:at + length], (at, length)"
expect_match "$server_log" "image '$images/aes': it is encrypted by QEMU's AES, which has no key derivation and is weak"
stop_nbdcrypt

# ---- a wrong passphrase ----

noise="what the passphrase decrypts is noise, without a partition table, a file system or text: it is probably wrong (a \
newline at the end of a key file counts); if it is right, --i-know-the-passphrase goes on"
for name in aes aes-v1; do
    expect_failure 1 "image '$images/$name': $noise" serve --unix "$never" --key-file "$wrong" "$images/$name"
done
run_nbdcrypt serve --unix "$never" --key-file "$wrong" "$images/luks"
expect_equal "exit status with a wrong passphrase of LUKS" 1 "$status"
start_nbdcrypt --i-know-the-passphrase --key-file "$wrong" aes
expect_match "$server_log" "looks like noise; going on \(--i-know-the-passphrase\)"
nbdcopy "$uri" "$test_dir/copy"
! cmp -s aes.raw "$test_dir/copy" || fail "a wrong passphrase has decrypted it"
stop_nbdcrypt
# A disk of nothing but noise, and one of clusters that were allocated and never written.
truncate --size=0 noise.raw
make_pattern noise.raw 1M 5
secret="secret,id=key,file=$passphrase"
for allocation in off full; do
    qemu-img create -q --object "$secret" -f qcow2 \
        -o encrypt.format=aes,encrypt.key-secret=key,preallocation=$allocation noise 1M
    [ $allocation = full ] || qemu-img convert -q -n --object "$secret" -f raw noise.raw \
        --target-image-opts "$(options "$passphrase" qcow2 noise aes)"
    expect_failure 1 "image '$images/noise': $noise" serve --unix "$never" --key-file "$passphrase" "$images/noise"
done

# ---- what is demanded, and what makes no sense ----

expect_failure 1 "image '$images/aes?format=qcow2': it is encrypted by QEMU's AES, which has neither header nor UUID nor another cipher, \
and so it is not the volume that is demanded" \
    serve --unix "$never" --key-file "$passphrase" --cipher aes-xts-plain64 "$images/aes?format=qcow2"
run_nbdcrypt serve --unix "$never" --key-file "$passphrase" --cipher serpent-xts-plain64 "$images/luks?format=qcow2"
expect_match "$err" "serpent-xts-plain64"
expect_failure 1 "image '$images/aes?format=qcow2': its qcow2 image is encrypted, so leave out --raw, and give its passphrase" \
    serve --unix "$never" --raw "$images/aes?format=qcow2"
# A volume that is pinned is no image whose tables say where its sectors are.
for demand in "--cipher aes-xts-plain64" "--min-key-bits 128"; do
    # shellcheck disable=SC2086 # two words
    expect_failure 1 "image '$images/luks': no LUKS header found: it holds a QEMU qcow2 image; with ?format=qcow2 behind its \
name the disk in it is read" serve --unix "$never" --key-file "$passphrase" $demand "$images/luks"
done
qemu_img convert -O qcow2 "$plain" plain
expect_failure 1 "image '$images/plain': it is a qcow2 image, and the disk in it is not encrypted; if that is meant, name it \
'$images/plain?format=qcow2', which --raw serves as it is, for reading, and nbdcrypt info shows" serve --unix "$never" --key-file "$passphrase" "$images/plain"

# ---- a LUKS volume on the disk in an image ----

encrypt_to_luks2 "$plain" "$images/volume"
qemu_img convert -O qcow2 volume volume.qcow2
start_nbdcrypt --key-file "$passphrase" 'volume.qcow2?format=qcow2'
nbdcopy "$uri" "$test_dir/copy"
cmp "$plain" "$test_dir/copy" || fail "a LUKS volume in a qcow2 image is not what it was"
