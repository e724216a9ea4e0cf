#!/bin/bash
# LUKS1 volumes of every cipher, made by cryptsetup, QEMU and us: we read what is in them, QEMU reads what we write, and keys that
# either has added open them for the other.
. "$(dirname "$0")/../support/functions.sh"

unset NBDCRYPT_CIPHER # which may name one that has AES only
requires cryptsetup --version
requires nbdcopy --version
requires qemu-img --version

plain=$(temp_file) image=$test_dir/image second=$(temp_file) third=$(temp_file)
fast=(--pbkdf pbkdf2 --pbkdf-iterations 1000)
printf 'a second passphrase' >"$second"
printf 'a third' >"$third"

# cryptsetup makes those that it can make without the kernel.
made_by_cryptsetup() {
    encrypt_to_luks1 "$plain" "$image" --cipher "$cipher" --key-size "$key_bits" --hash "$hash"
}

made_by_qemu() {
    local algorithm=${cipher%%-*} mode=${cipher#*-} iv block_key_bits=$key_bits options

    iv=${mode#*-} mode=${mode%%-*}
    [ "$mode" = cbc ] || block_key_bits=$((key_bits / 2))
    options="cipher-alg=$algorithm-$block_key_bits,cipher-mode=$mode,ivgen-alg=${iv%:*},hash-alg=$hash"
    [ "$iv" = "${iv#*:}" ] || options="$options,ivgen-hash-alg=${iv#*:}"
    encrypt_to_qemu_luks "$plain" "$image" "$options"
}

made_by_us() {
    encrypt_by_nbdcrypt "$plain" "$image" --type luks1 --cipher "$cipher" --key-bits "$key_bits" --hash "$hash"
}

# expect_plain KEY: QEMU's driver and we read it.
expect_plain() {
    qemu-img compare --object "secret,id=secret0,file=$1" --image-opts "driver=raw,file.driver=file,file.filename=$plain" \
        "$(qemu_luks "$image")" >>"$log_dir/qemu-img" 2>&1 || fail "$row: QEMU's luks driver reads something else"
    "$NBDCRYPT" serve --key-file "$1" --read-only --run "nbdcopy \"\$uri\" - | cmp - '$plain'" "$image" 2>>"$log_dir/serve" ||
        fail "$row: we read something else"
}

seed=0
while read -r maker cipher key_bits hash adds; do
    [ -n "$maker" ] || continue
    row="$maker $cipher $key_bits $hash"
    seed=$((seed + 1))
    rm -f "$image"
    make_pattern "$plain" 1M $seed
    "made_by_$maker"
    expect_plain "$passphrase"

    # By pieces at odd places.
    start_nbdcrypt --key-file "$passphrase" "$image"
    python - "$uri" "$plain" <<'EOF'
import sys
from nbd_client import Client

with Client(sys.argv[1]) as client, open(sys.argv[2], "r+b") as plain:
    for start, length in ((1, 1), (511, 2), (4095, 4098), (100000, 70001), (512 * 300, 512 * 7), (client.size - 3, 3)):
        data = bytes((start + i) % 251 for i in range(length))
        client.write(start, data)
        plain.seek(start)
        plain.write(data)
    client.flush()
EOF
    stop_nbdcrypt
    expect_success key add --key-file "$passphrase" --new-key-file "$second" "${fast[@]}" "$image"
    expect_plain "$second"
    [ "$adds" = yes ] || continue
    "${maker}_adds_key" "$image" "$second" "$third"
    expect_success key remove --key-file "$passphrase" "$image"
    expect_success key change --key-file "$third" --new-key-file "$passphrase" "${fast[@]}" "$image"
    expect_success key remove --key-file "$second" "$image"
    expect_plain "$passphrase"
    expect_failure 1 "image '$image': no keyslot opens with this key" key test --key-file "$third" "$image"
done < <(sample 3 <<'END'
cryptsetup aes-xts-plain64 512 sha256 no
cryptsetup aes-xts-plain64 256 sha512 no
cryptsetup aes-xts-plain 512 ripemd160 no
cryptsetup aes-cbc-essiv:sha256 256 sha1 yes
qemu aes-xts-plain64 512 sha256 no
qemu aes-xts-essiv:sha256 512 sha256 no
qemu serpent-xts-plain 384 ripemd160 no
qemu serpent-cbc-essiv:sha256 256 sha224 no
qemu twofish-xts-plain64 256 sha384 yes
qemu twofish-cbc-plain64 128 sha512 no
us aes-cbc-plain64 256 sha512 no
us serpent-xts-plain64 512 sha512 no
us serpent-cbc-plain 128 sha1 no
us twofish-cbc-essiv:sha256 256 sha256 no
END
)
