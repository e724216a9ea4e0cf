#!/bin/bash
# `nbdcrypt erase` wipes all keys: nothing opens the volume afterwards, and nothing of the key material is left.
. "$(dirname "$0")/../support/functions.sh"

requires cryptsetup --version

fast=(--pbkdf pbkdf2 --pbkdf-iterations 1000)
second=$(temp_file)
printf second >"$second"

for type in luks1 luks2; do
    image=$test_dir/$type
    expect_success format --type "$type" --key-file "$passphrase" "${fast[@]}" --size 1M "$image"
    expect_success key add --key-file "$passphrase" --new-key-file "$second" "${fast[@]}" "$image"
    cp "$image" "$test_dir/before"
    expect_success erase --yes "$image"
    expect_message "$out" "The keys of $image are wiped (2)."
    for key in "$passphrase" "$second"; do
        if cryptsetup open --test-passphrase --disable-locks --key-file "$key" "$image" >>"$log_dir/cryptsetup" 2>&1; then
            fail "cryptsetup opens it"
        fi
        run_nbdcrypt key test --key-file "$key" "$image"
        expect_equal "status of 'key test'" 1 "$status"
    done
    cryptsetup_quietly isLuks "$image"
    python - "$type" "$test_dir/before" "$image" <<'EOF_PYTHON'
import sys

start = 4096 if sys.argv[1] == "luks1" else 32768
old, new = (open(path, "rb").read() for path in sys.argv[2:])
for at in range(start, start + 256000 - 16, 16):
    if new[at:at + 16] in (old[at:at + 16], bytes(16)):
        raise SystemExit(f"byte {at} of the key material is not wiped")
if old[-(1 << 20):] != new[-(1 << 20):]:
    raise SystemExit("the data is not what it was")
EOF_PYTHON
done

# On a terminal the word must be typed.
image=$test_dir/luks2
rm "$image"
expect_success format --key-file "$passphrase" "${fast[@]}" --size 1M "$image"
at_terminal() {
    python "$source_dir/tests/luks/erase-at-terminal.py" "$NBDCRYPT" "$@" </dev/null
}
if at_terminal yes erase "$image"; then fail "erased without the word"; fi
expect_success key test --key-file "$passphrase" "$image"
at_terminal erase erase "$image"
run_nbdcrypt key test --key-file "$passphrase" "$image"
expect_equal "status of 'key test'" 1 "$status"
