#!/bin/bash
# Keys are changed while a client reads and writes: the client sees nothing of it, and cryptsetup opens the volume
# with the new key.  What cannot be done beside a server is refused.
. "$(dirname "$0")/../support/functions.sh"

requires cryptsetup --version
requires nbdcopy --version
requires qemu-io --version

fast=(--pbkdf pbkdf2 --pbkdf-iterations 1000)
image=$(temp_file) second=$(temp_file) third=$(temp_file) stop=$test_dir/stop
printf second >"$second"
printf third >"$third"
format_luks2 "$image" 8M --sector-size 4096
start_nbdcrypt --key-file "$passphrase" "$image"

"$PYTHON" "$source_dir/tests/luks/keys-changed-while-served.py" "$uri" "$stop" </dev/null &
client=$!
remember_pid "$client"

expect_success key add --key-file "$passphrase" --new-key-file "$second" "${fast[@]}" "$image"
expect_success key change --key-file "$second" --new-key-file "$third" "${fast[@]}" "$image"
expect_success key remove --key-file "$passphrase" "$image"
expect_success key list "$image"
expect_success key test --key-file "$third" "$image"
cryptsetup open --test-passphrase --disable-locks --key-file "$third" "$image"
kill -0 "$client"
touch "$stop"
wait "$client"

# The rest of the image is still the server's alone: for a second one, and for QEMU.
in_use="another program has it open for use (is it being served already?); end that first"
expect_failure 1 "image '$image': $in_use" serve --unix "$(temp_socket)" --key-file "$third" "$image"
if qemu-io -f raw -c 'read 0 512' "$image" >"$log_dir/qemu-io" 2>&1; then
    fail "QEMU opens for writing what is being served"
fi
stop_nbdcrypt
start_nbdcrypt --key-file "$third" "$image"
nbdcopy "$uri" "$test_dir/copy"
expect_equal "what the client wrote" "the end!" "$(head -c 8 "$test_dir/copy")"
stop_nbdcrypt

# Beside readers, too.
start_nbdcrypt --key-file "$third" --read-only "$image"
start_nbdcrypt --key-file "$third" --read-only "$image"
expect_success key add --key-file "$third" --new-key-file "$second" "${fast[@]}" "$image"
expect_alive "$uri"

# Who serves the ciphertext as it is may have the header in use, and so may QEMU.
needs_header="another program has it open and may need its header (it is being served with --raw or by another \
server, or its header is being changed); end that first"
other=$(temp_file)
format_luks2 "$other" 1M
start_nbdcrypt --raw "$other"
expect_failure 1 "image '$other': $needs_header" \
    key add --key-file "$passphrase" --new-key-file "$second" "${fast[@]}" "$other"
stop_nbdcrypt
mkfifo "$test_dir/commands"
qemu-io -f raw "$other" <"$test_dir/commands" >"$log_dir/qemu-io" 2>&1 &
remember_pid $!
exec {commands}>"$test_dir/commands"
echo 'read 0 512' >&"$commands"
wait_until 30 grep -q 'read 512/512' "$log_dir/qemu-io"
expect_failure 1 "image '$other': $needs_header" \
    key add --key-file "$passphrase" --new-key-file "$second" "${fast[@]}" "$other"
echo quit >&"$commands"
wait $!

# cryptsetup's own lock on a file.
exec {held}<"$other"
flock --exclusive "$held"
expect_failure 1 "image '$other': cryptsetup is working on its header; try again later" \
    key add --key-file "$passphrase" --new-key-file "$second" "${fast[@]}" "$other"
flock --unlock "$held"
expect_success key add --key-file "$passphrase" --new-key-file "$second" "${fast[@]}" "$other"

# A detached header is not the server's any more.
header=$test_dir/header data=$test_dir/data
expect_success format --key-file "$passphrase" "${fast[@]}" --size 1M --header "$header" "$data"
start_nbdcrypt --key-file "$passphrase" --header "$header" "$data"
expect_success key change --key-file "$passphrase" --new-key-file "$second" "${fast[@]}" --header "$header" "$data"
expect_alive "$uri"
stop_nbdcrypt
start_nbdcrypt --key-file "$second" --header "$header" "$data"
stop_nbdcrypt
