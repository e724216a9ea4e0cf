#!/bin/bash
# Keys that do not open the volume, or cannot be read: one sentence each, and nothing is changed.
. "$(dirname "$0")/../support/functions.sh"

requires cryptsetup --version

image=$(temp_file) wrong=$(temp_file) newline=$(temp_file) empty=$(temp_file)
format_luks2 "$image" 1M
before=$(sha256_of "$image")
printf 'wrong' >"$wrong"
{ cat "$passphrase"; echo; } >"$newline"
serve=(serve --unix "$(temp_socket)")

expect_failure 1 "image '$image': no keyslot opens with this key" "${serve[@]}" --key-file "$wrong" "$image"
expect_failure 1 "image '$image': no keyslot opens with this key: it ends with a newline, which counts (as for cryptsetup --key-file); if the passphrase was typed when the volume was made, remove the newline from the key file" \
    "${serve[@]}" --key-file "$newline" "$image"
expect_failure 1 "key file '$empty' can't be used: it is empty" "${serve[@]}" --key-file "$empty" "$image"
expect_failure 1 "key file '$empty.gone' can't be opened: No such file or directory" \
    "${serve[@]}" --key-file "$empty.gone" "$image"
expect_failure 1 "key file '$empty.gone' can't be opened: No such file or directory; (umask 077; head -c 64 /dev/urandom > FILE) makes one" \
    format --size 1M --key-file "$empty.gone" "$test_dir/new"
expect_failure 1 "key file '$test_dir' can't be used: Is a directory" "${serve[@]}" --key-file "$test_dir" "$image"
expect_failure 1 "standard input can't be used as the key: it is empty" "${serve[@]}" --key-file - "$image"
expect_failure 1 "no passphrase for '$image': standard input is not a terminal; give --key-file FILE, or --key-file - to read it from there" \
    "${serve[@]}" "$image"

# What others may not read.  Root may read everything, so it tries as nobody.
owner=$(id -u) opener=$(id -u)
if [ "$owner" -eq 0 ]; then
    chmod 755 "$test_dir"
    opener=65534
    run_as=(setpriv --reuid=65534 --regid=65534 --clear-groups)
fi
if "${run_as[@]+"${run_as[@]}"}" "$NBDCRYPT" --version >/dev/null 2>&1; then
    serve=(serve --listen 127.0.0.1:0)
    chmod 000 "$wrong"
    chmod 666 "$image"
    expect_failure 1 "key file '$wrong' can't be opened: Permission denied: it belongs to uid $owner, and uid $opener is who opens it" \
        "${serve[@]}" --key-file "$wrong" "$image"
    chmod 444 "$image"
    expect_failure 1 "image '$image': it can't be opened for writing: Permission denied: it belongs to uid $owner, and uid $opener is who opens it; --read-only serves it without" \
        "${serve[@]}" --key-file "$passphrase" "$image"
    chmod 444 "$passphrase"
    run_nbdcrypt serve --key-file "$passphrase" --read-only --run true "$image"
    expect_equal "exit status with --read-only" 0 "$status"
    chmod 000 "$image"
    expect_failure 1 "image '$image': it can't be opened: Permission denied: it belongs to uid $owner, and uid $opener is who opens it" \
        "${serve[@]}" --read-only --key-file "$passphrase" "$image"
    chmod 600 "$image"
else
    note "nobody may not run $NBDCRYPT: unreadable files were not tried"
fi
run_as=()
expect_equal "checksum" "$before" "$(sha256_of "$image")"
