#!/bin/bash
# `nbdcrypt key` asks on a terminal: the old passphrase once, the new one twice, nothing of it is echoed.  A wrong one, and
# two that differ, may be typed anew, three times in all; then nothing is changed.
. "$(dirname "$0")/../support/functions.sh"

requires cryptsetup --version

fast=(--pbkdf pbkdf2 --pbkdf-iterations 1000)
image=$(temp_file) typed=$(temp_file)
format_luks2 "$image" 1M
printf 'typed by hand' >"$typed"

# at_terminal STATUS OUTPUT LINE... -- ARGUMENT...: the program on a terminal, where each LINE is typed when it asks; what it
# shows, without line ends, must match OUTPUT (a Python regular expression).
at_terminal() {
    python "$source_dir/tests/luks/keys-from-a-terminal.py" "$NBDCRYPT" "$@" </dev/null
}

new="New passphrase for '$image': \\|Once more, for '$image': \\|"
at_terminal 0 "Passphrase for '$image': \\|${new}The new key is in keyslot 1 of $image." \
    "$(<"$passphrase")" "$(<"$typed")" "$(<"$typed")" -- key add "${fast[@]}" "$image"
cryptsetup open --test-passphrase --disable-locks --key-file "$typed" "$image"
at_terminal 0 "Passphrase for '$image': \\|This key opens keyslot 1 of $image." "$(<"$typed")" -- key test "$image"
before=$(sha256_of "$image")
differ="nbdcrypt: the two passphrases differ; "
at_terminal 1 "$new${differ}try again$new${differ}try again$new${differ}nothing was changed" \
    "one" "other" "one" "" "a" "b" -- key change --key-file "$passphrase" "${fast[@]}" "$image"
asked="Passphrase for '$image': \\|"
wrong="nbdcrypt: image '$image': no keyslot opens with this key"
for command in "key remove" "key test" "key add"; do
    # shellcheck disable=SC2086 # two words
    at_terminal 1 "$asked$wrong; try again$asked$wrong; try again$asked$wrong" \
        "nonsense" "more of it" "and more" -- $command "$image"
done
at_terminal 1 "${asked}nbdcrypt: the passphrase is empty; try again$asked$wrong; try again$asked$wrong; try again$asked$wrong" \
    "" "nonsense" "more of it" "and more" -- serve --run true "$image"
expect_equal "the image" "$before" "$(sha256_of "$image")"
at_terminal 0 "$asked$wrong; try again${asked}This key opens keyslot 1 of $image." "oops" "$(<"$typed")" -- key test "$image"
at_terminal 0 "$asked$wrong; try again$asked" "oops" "$(<"$typed")" -- serve --run true "$image"
at_terminal 0 "$asked$wrong; try again$asked${new}The new key is in keyslot 2 of $image." \
    "oops" "$(<"$typed")" "third" "third" -- key add "${fast[@]}" "$image"
at_terminal 0 "Passphrase for '$image': \\|The key in keyslot 1 of $image is removed." "$(<"$typed")" -- \
    key remove "$image"

# What takes long says so, and how long it has taken.  Sanitizers would make it take minutes.
[ -z "${SANITIZERS-}" ] || exit 0
slow=$(temp_file)
rm "$slow"
# expect_shown WORDS END ARGUMENT...: WORDS with the seconds, until END is shown.
expect_shown() {
    python "$source_dir/tests/luks/keys-from-a-terminal-expect-shown.py" "$NBDCRYPT" "$@" </dev/null
}
expect_shown "Making the keyslot" "$slow is a LUKS2 volume now" \
    format --pbkdf pbkdf2 --pbkdf-iterations 6000000 --size 1M --key-file "$passphrase" "$slow"
expect_shown "Deriving the key" "This key opens" key test --key-file "$passphrase" "$slow"
expect_success key test --key-file "$passphrase" "$slow"
[ ! -s "$err" ] || fail "without a terminal it says: $(<"$err")"
