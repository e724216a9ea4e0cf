#!/bin/bash
# Volumes of every cipher, with small sectors and large ones: those that we made are read and written by the kernel's dm-crypt in
# the guest, those that cryptsetup made there are read here, opened by their own keyslots (Argon2 among them) and re-keyed.
. "$(dirname "$0")/../support/functions.sh"
. "$(dirname "$0")/../support/guest.sh"

unset NBDCRYPT_CIPHER # which may name one that has AES only
requires cryptsetup --version
requires nbdcopy --version

# type cipher key-bits sector-size key-derivation maker; 384 bits are not ours to make
volumes='
luks1 serpent-xts-plain64 512 512 pbkdf2 both
luks2 aes-xts-plain 512 4096 pbkdf2 both
luks2 aes-xts-plain64 384 1024 argon2i them
luks2 aes-cbc-essiv:sha256 256 4096 pbkdf2 both
luks2 serpent-xts-plain64 512 512 argon2id both
luks2 serpent-cbc-essiv:sha256 256 2048 pbkdf2 both
luks2 twofish-xts-plain64 512 4096 pbkdf2 both
luks2 twofish-cbc-essiv:sha256 256 1024 pbkdf2 both
luks2 camellia-xts-plain64 512 4096 pbkdf2 both
'
slot_mib=18 # of the disk for each volume: 16 MiB of header at most
disk=$(temp_file) slot_file=$test_dir/slot second=$(temp_file)
ours=$(temp_file) theirs=$(temp_file)
make_pattern "$ours" 128K 1
make_pattern "$theirs" 128K 2
printf 'a second passphrase' >"$second"

# expect_plain FILE VOLUME: what we read from its start.
expect_plain() {
    "$NBDCRYPT" serve --key-file "$passphrase" --read-only \
        --run "nbdcopy \"\$uri\" - | head --bytes=131072 | cmp - '$1'" "$2" 2>>"$log_dir/serve" || fail "$volume: we read something else"
}

slot=0
while read -r type cipher key_bits sector_size kdf maker; do
    [ -n "$type" ] || continue
    volume="$type $cipher $key_bits $sector_size"
    if [ "$maker" = both ]; then
        rm -f "$slot_file"
        run_nbdcrypt format --type "$type" --cipher "$cipher" --key-bits "$key_bits" --sector-size "$sector_size" --size 1M \
            --key-file "$passphrase" --pbkdf pbkdf2 --pbkdf-iterations 1000 "$slot_file"
        expect_equal "status of format, $volume" 0 "$status"
        "$NBDCRYPT" serve --key-file "$passphrase" --run "nbdcopy --flush '$ours' \"\$uri\"" "$slot_file" 2>>"$log_dir/serve"
        dd if="$slot_file" of="$disk" bs=1M seek=$((slot * slot_mib)) conv=notrunc,sparse status=none
        echo "check $slot"
    fi
    slot=$((slot + 1))
    case $type:$kdf in
    luks1:* | *:pbkdf2) costs='--pbkdf-force-iterations 1000' ;;
    *) costs="--pbkdf-force-iterations 4 --pbkdf-memory 64 --pbkdf-parallel 1" ;;
    esac
    [ "$type" = luks1 ] || costs="$costs --pbkdf $kdf --sector-size $sector_size"
    echo "make $slot --type $type --cipher $cipher --key-size $key_bits $costs"
    slot=$((slot + 1))
done <<<"$volumes" >"$test_dir/work"
truncate --size=$(((slot + 1) * slot_mib))M "$disk"

guest_add "$(command -v cryptsetup)" /usr/sbin/cryptsetup
for library in /lib/*-linux-gnu/libgcc_s.so.1 /usr/lib64/libgcc_s.so.1; do
    [ ! -e "$library" ] || guest_add "$library" "$library" # for Argon2's threads
done
guest_add "$passphrase" /key
guest_add "$ours" /ours
guest_add "$theirs" /theirs
guest_add "$test_dir/work" /work
guest_run -- -drive "file=$disk,format=raw,if=none,id=disk" -device virtio-blk-pci,drive=disk <<END ||
sh -eu /modules/load-dm-crypt 2>/dev/null || true
export DM_DISABLE_UDEV=1
mkdir -p /run/cryptsetup
quietly() {
    cryptsetup --batch-mode --key-file /key "\$@" </dev/null
}
while read -r action slot options; do
    echo "\$action \$slot \$options" >&2
    losetup -o \$((slot * $slot_mib * 1048576)) /dev/loop0 /dev/vda
    [ "\$action" = check ] || quietly luksFormat \$options /dev/loop0
    quietly open /dev/loop0 volume
    if [ "\$action" = check ]; then
        cmp -n 131072 /ours /dev/mapper/volume
    fi
    dd if=/theirs of=/dev/mapper/volume bs=128k conv=fsync 2>/dev/null
    quietly close volume
    losetup -d /dev/loop0
done </work
echo 'all done'
END
    fail "in the guest: $(cat "$guest_output")"
expect_message "$guest_output" 'all done'

# What else is in $slot_file, whose keyslot the library can't open, stays when its key changes; backups are as cryptsetup's.
keeps_the_rest() {
    local token=$test_dir/token backup=$test_dir/backup

    rm -f "$backup" "$backup.theirs"
    printf '{"type":"nobody-knows","keyslots":["0"],"more":[1,2]}' >"$token"
    cryptsetup_quietly token import --json-file "$token" --token-id 7 "$slot_file"
    cryptsetup_quietly config --label 'a label' --priority prefer --key-slot 0 "$slot_file"
    expect_success header backup "$slot_file" "$backup"
    cryptsetup_quietly luksHeaderBackup --header-backup-file "$backup.theirs" "$slot_file"
    cmp "$backup" "$backup.theirs"
    expect_success key change --key-file "$passphrase" --new-key-file "$second" --pbkdf pbkdf2 --pbkdf-iterations 1000 "$slot_file"
    expect_message "$out" "The new key is in keyslot 1 of $slot_file; the old one opens it no more."
    python - "$slot_file" <<'EOF'
import sys
import luks_image
from nbd_client import equal

header = luks_image.read_luks2_json(sys.argv[1])
equal("keyslots", list(header["keyslots"]), ["1"])
equal("priority", header["keyslots"]["1"]["priority"], 2)
equal("token", header["tokens"]["7"], {"type": "nobody-knows", "keyslots": ["1"], "more": [1, 2]})
EOF
    cryptsetup luksDump --disable-locks "$slot_file" | grep -q '^Label:.*a label$' || fail "the label is gone"
    expect_success header restore --yes "$slot_file" "$backup.theirs"
    expect_success key test --key-file "$passphrase" "$slot_file"
    cryptsetup_quietly luksHeaderRestore --header-backup-file "$backup" "$slot_file"
    expect_plain "$theirs" "$slot_file"
}

slot=0
while read -r type cipher key_bits sector_size kdf maker; do
    [ -n "$type" ] || continue
    volume="$type $cipher $key_bits $sector_size"
    if [ "$maker" = both ]; then
        dd if="$disk" of="$slot_file" bs=1M skip=$((slot * slot_mib)) count=$slot_mib conv=sparse status=none
        expect_plain "$theirs" "$slot_file"
    fi
    slot=$((slot + 1))
    dd if="$disk" of="$slot_file" bs=1M skip=$((slot * slot_mib)) count=$slot_mib conv=sparse status=none
    expect_success info --json "$slot_file"
    expect_match "$out" "\"cipher\": ?\"$cipher\""
    expect_plain "$theirs" "$slot_file"
    [ "$type $kdf" != "luks2 argon2id" ] || keeps_the_rest
    slot=$((slot + 1))
    [ "$type $kdf" != 'luks2 pbkdf2' ] || continue
    expect_success key change --key-file "$passphrase" --new-key-file "$second" --pbkdf pbkdf2 --pbkdf-iterations 1000 "$slot_file"
    expect_success key test --key-file "$second" "$slot_file"
    expect_failure 1 "image '$slot_file': no keyslot opens with this key" key test --key-file "$passphrase" "$slot_file"
    if [ "$type" = luks2 ]; then
        cryptsetup open --disable-locks --test-passphrase --key-file "$second" "$slot_file" >>"$log_dir/cryptsetup" 2>&1 ||
            fail "$volume: cryptsetup does not open it after the change"
    fi
done <<<"$volumes"
