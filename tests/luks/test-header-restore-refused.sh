#!/bin/bash
# What `nbdcrypt header` and `nbdcrypt erase` refuse, and that it changes nothing then: no header, another volume's,
# one that does not fit, a backup that exists, nobody to ask.
. "$(dirname "$0")/../support/functions.sh"

requires cryptsetup --version

image=$(temp_file) other=$(temp_file) small=$(temp_file) junk=$(temp_file) backup=$test_dir/backup
uuid=12345678-1234-4321-8765-123456789abc other_uuid=87654321-1234-4321-8765-123456789abc
format_luks2 "$image" 1M --uuid "$uuid"
format_luks2 "$other" 1M --uuid "$other_uuid"
before=$(sha256_of "$image")
expect_success header backup "$image" "$backup"

for command in backup restore; do
    expect_failure 2 "no IMAGE was given: nbdcrypt header $command --help tells more" header "$command"
    expect_failure 2 "no FILE was given: nbdcrypt header $command --help tells more" header "$command" "$image"
    expect_success header "$command" --help
done
expect_failure 2 "no command was given: nbdcrypt header --help lists them" header
expect_failure 2 "no IMAGE was given: nbdcrypt erase --help tells more" erase
expect_success erase --help

# Backups are neither overwritten nor left half made.
expect_failure 1 "'$backup' is there already; --force replaces it" header backup "$other" "$backup"
expect_failure 1 "'$test_dir/no/backup' can't be made: No such file or directory" \
    header backup "$image" "$test_dir/no/backup"
run_nbdcrypt header backup "$junk" "$test_dir/never"
expect_equal "status of a backup of nothing" 1 "$status"
[ ! -e "$test_dir/never" ]

# Restoring.
run_nbdcrypt header restore --yes "$image" "$junk"
expect_equal "status of restoring junk" 1 "$status"
expect_failure 1 "image '$image': it is the volume $uuid, and the backup is of the volume $other_uuid; give --force \
to overwrite its header, without which its data is lost" header restore --yes "$image" "$other"
truncate --size=1M "$small"
run_nbdcrypt header restore --yes "$small" "$backup"
expect_equal "status of restoring to a small image" 1 "$status"
expect_match "$err" "^nbdcrypt: backup '$backup': LUKS header: the image is 1048576 bytes, its payload begins at 16777216"
truncate --size=20M "$junk"
printf '\123\357' | dd of="$junk" bs=1 seek=1080 conv=notrunc status=none
expect_failure 1 "image '$junk': it holds a file system (ext2); give --force to overwrite the start of that" \
    header restore --yes "$junk" "$backup"
no_terminal="standard input is not a terminal where that could be confirmed: give --yes"
replaced="what is there is replaced by the header of the backup and all its keys; $no_terminal"
expect_failure 1 "'$image': it has the header of the volume $uuid; $replaced" header restore "$image" "$backup"
expect_failure 1 "'$image': all its keys are wiped, and nobody can read its data again without a backup of its \
header; standard input is not a terminal where that could be confirmed: give --yes" erase "$image"
expect_equal "the image" "$before" "$(sha256_of "$image")"

# Data without any mark: noise, as of a volume whose header is apart, or text.  Zeros are no loss, and neither is what the
# backup has there, as after a restore that was interrupted.
# expect_data_kept BYTE: of $junk.
expect_data_kept() {
    local before

    before=$(sha256_of "$junk")
    for options in --yes --; do
        expect_failure 1 "image '$junk': it has no LUKS header, and holds data (at byte $1), perhaps that of a volume whose \
header is kept apart; give --force to overwrite the start of that" header restore "$options" "$junk" "$backup"
    done
    expect_equal "the data" "$before" "$(sha256_of "$junk")"
}
make_pattern "$junk" 20M
expect_data_kept 0
truncate --size=0 "$junk"
truncate --size=20M "$junk"
printf 'what somebody wrote' | dd of="$junk" bs=1 seek=$((16777216 - 20)) conv=notrunc status=none
expect_data_kept $((16777216 - 512))
expect_success header restore --force "$junk" "$backup"
cryptsetup_quietly open --test-passphrase "$junk"
dd if=/dev/zero of="$junk" bs=4096 count=8 conv=notrunc status=none
expect_failure 1 "'$junk': it has no header; $replaced" header restore "$junk" "$backup"
expect_success header restore --yes "$junk" "$backup"
cryptsetup_quietly open --test-passphrase "$junk"
python -c 'import luks_image, sys; [luks_image.damage(sys.argv[1], at) for at in (5000, 21384)]' "$junk"
expect_failure 1 "'$junk': it has a damaged header of the volume $uuid; $replaced" header restore "$junk" "$backup"
expect_success header restore --yes "$junk" "$backup"
truncate --size=0 "$junk"
truncate --size=20M "$junk"
expect_success header restore --yes "$junk" "$backup"
cryptsetup_quietly open --test-passphrase "$junk"

# The same UUID, but another place for the data: --force does not help.
python "$source_dir/tests/luks/header-restore-refused.py" "$other" "$uuid" </dev/null
expect_success header backup --force "$other" "$backup"
format_luks2 "$image" 1M --uuid "$uuid" --sector-size 4096
before=$(sha256_of "$image")
expect_failure 1 "image '$image': the data has sectors of 4096 bytes, in the backup they have 512" \
    header restore --force "$image" "$backup"
expect_equal "the image" "$before" "$(sha256_of "$image")"

# A volume in re-encryption, and others that we refuse though there is nothing wrong with them.
reencrypted=$(temp_file)
format_luks2 "$reencrypted" 32M --uuid "$uuid"
rm "$backup"
expect_success header backup "$reencrypted" "$backup"
cp "$reencrypted" "$test_dir/clean"
cryptsetup_quietly reencrypt --init-only "$reencrypted"
before=$(sha256_of "$reencrypted")
would="the backup would overwrite this header, without which the data may be lost: give --force to do that"
expect_failure 1 "image '$reencrypted': LUKS header: the header requires 'online-reencrypt-v2', which is not supported: \
a re-encryption is under way; finish it with cryptsetup reencrypt; $would" header restore --yes "$reencrypted" "$backup"
expect_equal "the image" "$before" "$(sha256_of "$reencrypted")"
cp "$test_dir/clean" "$test_dir/refused"
python - "$test_dir/refused" <<'EOF_PYTHON'
import sys
import luks_image

luks_image.change_luks2_json(sys.argv[1], lambda document: document["config"].update(
    requirements={"mandatory": ["of-the-future"]}))
EOF_PYTHON
before=$(sha256_of "$test_dir/refused")
run_nbdcrypt header restore --yes "$test_dir/refused" "$backup"
expect_equal "status of restoring over a header of the future" 1 "$status"
expect_match "$err" "requires 'of-the-future', which is unknown.*; $would\$"
expect_equal "the image" "$before" "$(sha256_of "$test_dir/refused")"
expect_success header restore --force "$test_dir/refused" "$backup"
cryptsetup_quietly open --test-passphrase "$test_dir/refused"
cp "$test_dir/clean" "$test_dir/refused"
printf 'LUKS\336\255' | dd of="$test_dir/refused" conv=notrunc status=none
dd if=/dev/zero of="$test_dir/refused" bs=4096 seek=1 count=32 conv=notrunc status=none # no LUKS2
expect_failure 1 "image '$test_dir/refused': it holds a LUKS1 volume whose re-encryption by cryptsetup is under way; \
give --force to overwrite the start of that" header restore --yes "$test_dir/refused" "$backup"

# By force: what somebody has there.
make_pattern "$junk" 20M
rm "$backup"
expect_success header backup --force "$other" "$backup"
expect_success header restore --force "$junk" "$backup"
cryptsetup_quietly open --test-passphrase "$junk"

# Eight keyslots of LUKS1 leave no room for the key of the backup beside them: that is said first.
for key in 0 1 2 3 4 5 6 7; do
    printf 'key %s' "$key" >"$test_dir/key$key"
done
truncate --size=0 "$image"
truncate --size=4M "$image"
cryptsetup_quietly luksFormat --type luks1 --pbkdf-force-iterations 1000 "$image"
rm "$backup"
expect_success header backup "$image" "$backup"
fast=(--pbkdf pbkdf2 --pbkdf-iterations 1000)
expect_success key change --key-file "$passphrase" --new-key-file "$test_dir/key1" "${fast[@]}" "$image"
for slot in 0 2 3 4 5 6 7; do
    expect_success key add --key-file "$test_dir/key1" --new-key-file "$test_dir/key$slot" --new-slot "$slot" "${fast[@]}" "$image"
done
before=$(sha256_of "$image")
warning="nbdcrypt: '$image': there is no room in it for the old and the new keys at the same time: if the \
restore is interrupted, no key opens the volume until it is repeated"
run_nbdcrypt header restore "$image" "$backup"
expect_equal "status without --yes" 1 "$status"
expect_message "$err" "$warning"
expect_equal "the image" "$before" "$(sha256_of "$image")"
run_nbdcrypt header restore --yes "$image" "$backup"
expect_equal "status with --yes" 0 "$status"
expect_equal "what it says" "$warning" "$(cat "$err")"
expect_success key test --key-file "$passphrase" "$image"
