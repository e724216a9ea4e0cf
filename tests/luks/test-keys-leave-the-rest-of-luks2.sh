#!/bin/bash
# What else is in a LUKS2 header stays when keys change: label, subsystem, flags, tokens (which follow a changed key),
# priorities, members that nobody here knows, and both copies are equal afterwards.
. "$(dirname "$0")/../support/functions.sh"

requires cryptsetup --version

fast=(--pbkdf pbkdf2 --pbkdf-iterations 1000)
image=$(temp_file) second=$(temp_file) third=$(temp_file)
printf second >"$second"
printf third >"$third"
format_luks2 "$image" 1M --label 'a label' --subsystem 'a subsystem' \
    --uuid 12345678-1234-4321-8765-123456789abc
printf '{"type":"nobody-knows","keyslots":["0"],"more":{"deep":[1,2]}}' >"$third.json"
cryptsetup_quietly token import --json-file "$third.json" --token-id 7 "$image"
cryptsetup_quietly config --priority prefer --key-slot 0 "$image"
python - "$image" <<'EOF_PYTHON'
import sys
import luks_image

def change(document):
    document["config"]["flags"] = ["allow-discards", "no-read-workqueue"]
    document["config"]["from-the-future"] = {"a": "b"}

luks_image.change_luks2_json(sys.argv[1], change)
EOF_PYTHON
cp "$image" "$test_dir/before"

# expect_rest: everything but the keyslots is as before.
expect_rest() {
    python "$source_dir/tests/luks/keys-leave-the-rest-of-luks2-expect-rest.py" "$test_dir/before" "$image" </dev/null
}

expect_success key add --key-file "$passphrase" --new-key-file "$second" "${fast[@]}" "$image"
expect_rest
expect_success key change --key-file "$passphrase" --new-key-file "$third" "${fast[@]}" "$image"
expect_message "$out" "The new key is in keyslot 0 of $image; the old one opens it no more."
expect_rest
expect_success key remove --key-file "$second" "$image"
expect_rest

# Priorities: the first to be tried; one that is tried only when it is named.
expect_success key add --key-file "$third" --new-key-file "$second" --new-slot 9 "${fast[@]}" --priority ignore "$image"
expect_failure 1 "image '$image': no keyslot opens with this key" key test --key-file "$second" "$image"
expect_success key test --key-file "$second" --slot 9 "$image"
expect_message "$out" "This key opens keyslot 9 of $image."
expect_success key list "$image"
expect_match "$out" '^Keyslot 9: .*; priority ignore$'
expect_success key change --slot 9 --key-file "$second" --new-key-file "$passphrase" "${fast[@]}" "$image"
expect_success key list "$image"
expect_match "$out" '^Keyslot 9: .*; priority ignore$'
expect_success key change --slot 9 --key-file "$passphrase" --new-key-file "$second" --priority normal "${fast[@]}" \
    "$image"
expect_success key test --key-file "$second" "$image"
cryptsetup_quietly luksDump "$image"

# The priority alone, with no key: cryptsetup sees it, and nothing else changes.
expect_success key priority --slot 9 "$image" ignore
expect_message "$out" "Keyslot 9 of $image has the priority ignore."
expect_failure 1 "image '$image': no keyslot opens with this key" key test --key-file "$second" "$image"
expect_success key priority --slot 9 "$image" prefer
expect_success key test --key-file "$second" "$image"
cryptsetup luksDump --disable-locks "$image" >"$test_dir/dump"
expect_equal "priority of keyslot 9 for cryptsetup" preferred \
    "$(sed -n '/^ *9: luks2/,/Priority:/s/^[[:space:]]*Priority:[[:space:]]*//p' "$test_dir/dump")"
before=$(sha256_of "$image")
expect_failure 2 "which one? --slot N tells; key list shows the keyslots" key priority "$image" normal
expect_failure 2 "priority 'low' is none of prefer, normal and ignore" key priority --slot 9 "$image" low
expect_failure 1 "image '$image': keyslot 7 is not in use" key priority --slot 7 "$image" normal
expect_equal "the image" "$before" "$(sha256_of "$image")"
