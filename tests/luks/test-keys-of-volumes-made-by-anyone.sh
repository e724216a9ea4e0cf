#!/bin/bash
# Keys of volumes that cryptsetup, QEMU (LUKS1) or nbdcrypt made are changed by nbdcrypt and by the one who made them, in
# turn; each time all of them agree on what opens the volume, and everything else in the header stays as it is.
. "$(dirname "$0")/../support/functions.sh"

requires cryptsetup --version
requires qemu-img --version
requires qemu-io --version
requires nbdcopy --version

fast=(--pbkdf pbkdf2 --pbkdf-iterations 1000)
second=$(temp_file) third=$(temp_file) fourth=$(temp_file)
printf 'a second passphrase' >"$second"
printf 'a third\npassphrase, with a newline at its end\n' >"$third" # QEMU takes no NUL
printf 'the fourth' >"$fourth"

opens_for_cryptsetup() {
    cryptsetup open --test-passphrase --disable-locks --key-file "$1" "$image" >>"$log_dir/cryptsetup" 2>&1
}

opens_for_qemu() {
    qemu-io --read-only --object "secret,id=secret0,file=$1" --image-opts -c 'read 0 512' "$(qemu_luks "$image")" \
        >>"$log_dir/qemu-io" 2>&1
}

# expect_keys [KEY...]: each of these opens the volume for everybody, and none of the others does.
expect_keys() {
    local key expected

    for key in "$passphrase" "$second" "$third" "$fourth"; do
        case " $* " in
        *" $key "*) expected=0 ;;
        *) expected=1 ;;
        esac
        run_nbdcrypt key test --key-file "$key" "$image"
        expect_equal "'key test' with $(<"$key")" $expected "$status"
        if opens_for_cryptsetup "$key"; then status=0; else status=1; fi
        expect_equal "cryptsetup's opinion of $(<"$key")" $expected "$status"
        [ "$type" = luks1 ] || continue
        if opens_for_qemu "$key"; then status=0; else status=1; fi
        expect_equal "QEMU's opinion of $(<"$key")" $expected "$status"
    done
}

made_by_cryptsetup_luks1() {
    encrypt_to_luks1 "$plain" "$image"
}

made_by_cryptsetup_luks2() {
    encrypt_to_luks2 "$plain" "$image" --sector-size 4096
}

made_by_qemu_luks1() {
    encrypt_to_qemu_luks "$plain" "$image"
}

made_by_us() {
    encrypt_by_nbdcrypt "$plain" "$image" --type "$type"
}

made_by_us_luks1() {
    made_by_us
}

made_by_us_luks2() {
    made_by_us
}

# other_adds OLD NEW, other_removes KEY: by cryptsetup, and for its own volumes by QEMU.
other_adds() {
    if [ "$maker" = qemu ]; then
        qemu_adds_key "$image" "$1" "$2"
    else
        cryptsetup_adds_key "$image" "$1" "$2"
    fi
}

other_removes() {
    if [ "$maker" = qemu ]; then
        qemu_img amend --object "secret,id=old0,file=$1" -o state=inactive,old-secret=old0 \
            --image-opts "driver=luks,key-secret=old0,file.driver=file,file.filename=$image"
    else
        cryptsetup --batch-mode --disable-locks --key-file "$1" luksRemoveKey "$image"
    fi
}

for volume in cryptsetup_luks1 qemu_luks1 us_luks1 cryptsetup_luks2 us_luks2; do
    note "$volume"
    type=${volume#*_} maker=${volume%_*}
    plain=$(temp_file) image=$test_dir/$volume
    make_pattern "$plain" 1M
    "made_by_$volume"
    payload=$(sha256_of <(tail -c 1048576 "$image"))
    expect_keys "$passphrase"

    expect_success key add --key-file "$passphrase" --new-key-file "$second" "${fast[@]}" "$image"
    expect_message "$out" "The new key is in keyslot 1 of $image."
    expect_keys "$passphrase" "$second"
    other_adds "$second" "$third"
    expect_keys "$passphrase" "$second" "$third"
    expect_success key change --key-file "$third" --new-key-file "$fourth" "${fast[@]}" "$image"
    expect_keys "$passphrase" "$second" "$fourth"
    other_removes "$second"
    expect_keys "$passphrase" "$fourth"
    expect_success key remove --key-file "$passphrase" "$image"
    expect_keys "$fourth"
    expect_success key add --key-file "$fourth" --new-key-file "$passphrase" "${fast[@]}" --new-slot 6 "$image"
    expect_message "$out" "The new key is in keyslot 6 of $image."
    expect_success key remove --key-file "$fourth" "$image"
    expect_keys "$passphrase"

    # Nothing but keys has changed, and cryptsetup finds nothing to repair.
    expect_equal "the data of $volume" "$payload" "$(sha256_of <(tail -c 1048576 "$image"))"
    before=$(sha256_of "$image")
    cryptsetup_quietly repair "$image"
    expect_equal "$volume after 'cryptsetup repair'" "$before" "$(sha256_of "$image")"
    start_nbdcrypt --key-file "$passphrase" "$image"
    expect_image "$plain" "$uri"
    stop_nbdcrypt
done
