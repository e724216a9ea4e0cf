#!/bin/bash
# `nbdcrypt info` shows a backup of a header, ours or cryptsetup's, and a detached header alone, as it shows the volume:
# all but the usable size, which nobody knows without the data.
. "$(dirname "$0")/../support/functions.sh"

requires cryptsetup --version

# expect_same_header FILE VOLUME-JSON: what info says of FILE, but for what only the volume knows.
expect_same_header() {
    expect_success info --json "$1"
    python - "$out" "$2" <<'EOF'
import json
import sys

backup, volume = (json.load(open(path)) for path in sys.argv[1:])
if backup.pop("size") is not None:
    raise SystemExit("a size is told that nobody knows")
volume.pop("size")
if backup.pop("detached") is not True:
    raise SystemExit("a backup is not said to be apart from its data")
volume.pop("detached")
if backup != volume:
    raise SystemExit(f"{backup} is not {volume}")
EOF
    expect_success info "$1"
    expect_match "$out" '^Usable size: +not known: the data is elsewhere, or was cut off$'
    expect_match "$out" '^Header: +detached$'
}

for type in luks1 luks2; do
    image=$(temp_file) backup=$(temp_file) others=$test_dir/others-$type
    rm "$image"
    expect_success format --type $type --key-file "$passphrase" --pbkdf pbkdf2 --pbkdf-iterations 1000 --size 4M "$image"
    expect_success info --json "$image"
    of_volume=$out
    expect_success header backup --force "$image" "$backup"
    expect_same_header "$backup" "$of_volume"
    cryptsetup_quietly luksHeaderBackup "$image" --header-backup-file "$others"
    expect_same_header "$others" "$of_volume"
    # What the header must be is demanded of a backup, too.
    expect_failure 1 "image '$backup': LUKS header: its cipher is aes-xts-plain64, and serpent-xts-plain64 is demanded" \
        info --cipher serpent-xts-plain64 "$backup"
done

# What ends elsewhere was cut off.
truncated='it is truncated, or it is a detached header'
for length in 1M 10M; do
    cp "$image" "$backup"
    truncate --size=$length "$backup"
    expect_failure 1 "image '$backup': LUKS header: the image is $(size_of "$backup") bytes, its payload begins at 16777216: $truncated (then give it with --header, and the data as the image)" info "$backup"
done
