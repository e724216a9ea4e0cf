#!/bin/bash
# A backup of a header is bit for bit that of cryptsetup; each restores what the other has made; whatever happened to the
# header, its keys come back and nothing but the header changes.
. "$(dirname "$0")/../support/functions.sh"

requires cryptsetup --version
requires qemu-img --version

fast=(--pbkdf pbkdf2 --pbkdf-iterations 1000)
plain=$(temp_file) second=$(temp_file)
printf second >"$second"
make_pattern "$plain" 1M

# Sets $theirs, a backup by cryptsetup.
back_up_by_cryptsetup() {
    theirs=$(mktemp -u "$test_dir/theirs.XXXXXX")
    cryptsetup_quietly luksHeaderBackup --header-backup-file "$theirs" "$1"
}

for volume in luks1 qemu_luks luks2; do
    note "$volume"
    image=$test_dir/$volume ours=$test_dir/$volume.ours
    "encrypt_to_$volume" "$plain" "$image"
    payload=$(sha256_of <(tail -c 1048576 "$image"))
    back_up_by_cryptsetup "$image"
    expect_success header backup "$image" "$ours"
    cmp "$theirs" "$ours"
    expect_equal "mode of the backup" 600 "$(stat --format=%a "$ours")"

    # Our backup by cryptsetup: the keys of then, and no others.
    expect_success key change --key-file "$passphrase" --new-key-file "$second" "${fast[@]}" "$image"
    cryptsetup_quietly luksHeaderRestore --header-backup-file "$ours" "$image"
    expect_success key test --key-file "$passphrase" "$image"
    run_nbdcrypt key test --key-file "$second" "$image"
    expect_equal "the new key after a restore" 1 "$status"

    # Theirs by us, over a header that was changed, one that is damaged, one that is gone.
    expect_success key change --key-file "$passphrase" --new-key-file "$second" "${fast[@]}" "$image"
    expect_success header restore --yes "$image" "$theirs"
    cryptsetup_quietly open --test-passphrase "$image"
    expect_success erase --yes "$image"
    expect_success header restore --yes "$image" "$theirs"
    cryptsetup_quietly open --test-passphrase "$image"
    dd if=/dev/zero of="$image" bs=1M count=1 conv=notrunc status=none
    expect_success header restore --yes "$image" "$theirs"
    cryptsetup_quietly open --test-passphrase "$image"
    back_up_by_cryptsetup "$image"
    cmp "$theirs" "$ours"

    expect_equal "the data" "$payload" "$(sha256_of <(tail -c 1048576 "$image"))"
    start_nbdcrypt --key-file "$passphrase" "$image"
    expect_image "$plain" "$uri"

    # Not under a server that might need it again.
    expect_failure 1 "image '$image': another program has it open for use (is it being served already?); end that first" \
        header restore --yes "$image" "$theirs"
    stop_nbdcrypt
done

# When a copy is damaged, both are good in the backup.
image=$test_dir/luks2
python -c 'import luks_image, sys; luks_image.damage(sys.argv[1], 5000)' "$image"
damaged=$(sha256_of "$image")
expect_success header backup "$image" "$test_dir/mended"
expect_equal "the image" "$damaged" "$(sha256_of "$image")"
for at in 5000 21384; do
    cp "$test_dir/mended" "$test_dir/copy"
    python -c 'import luks_image, sys; luks_image.damage(sys.argv[1], int(sys.argv[2]))' "$test_dir/copy" "$at"
    expect_success key test --key-file "$passphrase" --header "$test_dir/copy" "$image"
done
expect_success header restore --yes "$image" "$test_dir/mended"
expect_success info --json "$image"
expect_match "$out" '"damaged-header-copy":null'
cryptsetup_quietly open --test-passphrase "$image"

# Of a detached header, which is all that changes.
for type in luks1 luks2; do
    image=$test_dir/data-$type header=$test_dir/header-$type
    expect_success format --type "$type" --key-file "$passphrase" "${fast[@]}" --size 1M --header "$header" "$image"
    before=$(sha256_of "$image")
    back_up_by_cryptsetup "$header"
    expect_success header backup --header "$header" "$image" "$header.ours"
    cmp "$theirs" "$header.ours"
    expect_success erase --yes --header "$header" "$image"
    expect_success header restore --yes --header "$header" "$image" "$theirs"
    expect_success key test --key-file "$passphrase" --header "$header" "$image"
    cryptsetup_quietly open --test-passphrase --header "$header" "$image"
    expect_equal "the image" "$before" "$(sha256_of "$image")"
done
