#!/bin/bash
# A LUKS2 volume that is served with --zero-holes says so in its header before there can be a hole, and is refused without
# the option from then on; that stays through changes of keys and headers by cryptsetup and by us, and is taken back by
# one command.  A header that can't be made to say it is refused, and nothing else is changed.
. "$(dirname "$0")/../support/functions.sh"
. "$(dirname "$0")/../support/remote-functions.sh"

requires cryptsetup --version
requires nbdcopy --version

clean_up_test() {
    if mountpoint -q "$test_dir/full"; then umount "$test_dir/full"; fi
}

fast=(--pbkdf pbkdf2 --pbkdf-iterations 1000)
image=$(temp_file) second=$(temp_file) backup=$test_dir/backup
printf second >"$second"
refusal="its header says that holes are zeros, for it was served with --zero-holes, and they would read as noise: give \
--zero-holes; to do without, copy the data elsewhere, say \`nbdcrypt header zero-holes $image off\`, and copy all of \
it back"

# expect_recorded yes|no [ARGUMENT...]: by info, whose JSON and text agree.
expect_recorded() {
    local json=false text=0

    [ "$1" = no ] || json=true text=1
    expect_success info --json "${@:2}"
    expect_match "$out" "\"zero-holes\":$json"
    expect_success info "${@:2}"
    expect_equal "lines of info" $text "$(sed -n '/^Holes: /p' "$out" | wc -l)"
}

# expect_refused ARGUMENT...
expect_refused() {
    expect_failure 1 "image '$image': $refusal" serve --unix "$test_dir/socket" --key-file "$passphrase" "$@"
}

# serve_once ARGUMENT...: to its ready line.  Sets $server_log.
serve_once() {
    start_nbdcrypt --key-file "$passphrase" "$@"
    stop_nbdcrypt
}

expect_silence() {
    if grep -q 'holes are zeros' "$server_log"; then
        fail "the server said: $(cat "$server_log")"
    fi
}

# Not by looking, and not without the key.
format_luks2 "$image" 1M --sector-size 512
digest=$("$NBDCRYPT" info "$image" | sed -n 's/^Header digest: *//p')
serve_once --zero-holes --read-only "$image"
expect_silence
run_nbdcrypt serve --unix "$test_dir/socket" --key-file "$second" --zero-holes "$image"
expect_equal "exit status with a wrong key" 1 "$status"
expect_recorded no "$image"
serve_once "$image"
cp "$image" "$backup.image"
expect_success header backup "$image" "$backup"

# At the first start, once; before a client can come.
serve_once --zero-holes "$image"
said="image '$image': its header says from now on that holes are zeros: it has to be served with --zero-holes"
expect_message "$server_log" "nbdcrypt: $said"
expect_recorded yes "$image"
expect_success token list "$image"
expect_message "$out" "Token 0:         nbdcrypt-zero-holes"
before=$(sha256_of "$image")
serve_once --zero-holes --header-digest "$digest" "$image"
expect_silence
expect_equal "checksum after the second start" "$before" "$(sha256_of "$image")"
expect_refused "$image"
expect_failure 1 "image '$image': ${refusal/give --zero-holes/give --source-zero-holes}" \
    convert --source-key-file "$passphrase" --to-format raw "$image" "$test_dir/raw"
expect_refused --read-only "$image"
expect_refused --discard --export "a=$image"
serve_once --zero-holes --read-only "$image"
start_nbdcrypt --key-file "$passphrase" --export "=$image,zero-holes"
python - "$uri" <<'END'
import sys
from nbd_client import *

with Client(sys.argv[1]) as client:
    equal("TRIM", client.error_of(CMD_TRIM, 0, client.size), 0)
    equal("holes", client.read(0, client.size), bytes(client.size))
END
stop_nbdcrypt
expect_refused "$image"

# It stays, whoever changes the header.
quietly() {
    "$@" </dev/null >>"$log_dir/others" 2>&1
    expect_recorded yes "$image"
    expect_refused "$image"
}
by_cryptsetup() {
    quietly cryptsetup --batch-mode --disable-locks --key-file "$passphrase" "$@"
}
by_cryptsetup luksAddKey "${fast_pbkdf[@]}" "$image" "$second"
by_cryptsetup luksChangeKey "${fast_pbkdf[@]}" --key-slot 0 "$image" "$passphrase"
by_cryptsetup luksKillSlot "$image" 1
by_cryptsetup config --label holes "$image"
by_cryptsetup token add --key-description x "$image"
by_cryptsetup token remove --token-id 1 "$image"
by_cryptsetup repair "$image"
by_cryptsetup luksHeaderBackup --header-backup-file "$test_dir/theirs" "$image"
by_cryptsetup luksHeaderRestore --header-backup-file "$test_dir/theirs" "$image"
if cryptsetup --batch-mode --disable-locks convert --type luks1 "$image" >>"$log_dir/others" 2>&1; then
    fail "cryptsetup made it LUKS1, and the token is gone"
fi
ours() {
    quietly "$NBDCRYPT" "$@"
}
ours key add --key-file "$passphrase" --new-key-file "$second" "${fast[@]}" "$image"
ours key change --key-file "$second" --new-key-file "$second" "${fast[@]}" "$image"
ours key remove --key-file "$second" "$image"
ours header discard "$image" on
ours header discard "$image" off
# A backup from before: the data is what it was, so the restored header says it, too.
ours header restore --yes "$image" "$backup"
ours header zero-holes "$image" on

# The token opens nothing, and is no key that could be tried.
mkdir "$test_dir/plugins"
expect_failure 1 "image '$image': the header has no token of type luks2-keyring" key test --token any "$image"
expect_failure 1 "image '$image': the header has no token" \
    key test --token any --token-plugins "$test_dir/plugins" "$image"

# Taken back by hand: not under a server, whose clients' zeros would become noise, and not without a question.
in_use="another program has it open for use (is it being served already?); end that first"
start_nbdcrypt --key-file "$passphrase" --zero-holes "$image"
expect_failure 1 "image '$image': $in_use" header zero-holes --yes "$image" off
expect_success header zero-holes "$image" on
stop_nbdcrypt
expect_failure 1 "'$image': zeros that were written while it was served with --zero-holes read as noise then, so that all \
of its data has to be copied elsewhere before and back afterwards; standard input is not a terminal where that could \
be confirmed: give --yes" header zero-holes "$image" off
expect_recorded yes "$image"
expect_success header zero-holes --yes "$image" off
expect_equal "what it says" "$image is served without --zero-holes, too: holes and zeros that were written read as noise from \
now on, until the data is copied back." "$(cat "$out")"
expect_recorded no "$image"
serve_once "$image"
expect_silence
expect_success header zero-holes "$image" off
expect_failure 2 "'maybe' is neither on nor off" header zero-holes "$image" maybe

# The header in a file of its own.
header=$test_dir/header
expect_success format --key-file "$passphrase" "${fast[@]}" --header "$header" --size 1M "$test_dir/data"
mv "$test_dir/data" "$image"
serve_once --header "$header" "$image"
serve_once --zero-holes --header "$header" "$image"
expect_recorded yes --header "$header" "$image"
expect_equal "bytes of the image that are not zeros" 0 "$(tr -d '\0' <"$image" | wc -c)"
expect_refused --header "$header" "$image"
start_nbdcrypt --key-file "$passphrase" --zero-holes --header "$header" "$image"
expect_failure 1 "image '$header': $in_use" header zero-holes --yes --header "$header" "$image" off
stop_nbdcrypt
expect_success header zero-holes --yes --header "$header" "$image" off
serve_once --header "$header" "$image"

# ---- it can't be recorded ----
cannot="export '': --zero-holes: the header has to say that holes are zeros before there are any, and could not be made to \
(\`nbdcrypt header zero-holes\` does it by hand):"

# Not writable, for this user.
if [ "$(id -u)" -eq 0 ]; then
    chmod 755 "$test_dir"
    run_as=(setpriv --reuid=65534 --regid=65534 --clear-groups)
fi
chmod 644 "$passphrase"
chmod 666 "$image"
chmod 444 "$header"
if "${run_as[@]+"${run_as[@]}"}" "$NBDCRYPT" --version >"$log_dir/version" 2>&1; then
    run_nbdcrypt serve --listen 127.0.0.1:0 --key-file "$passphrase" --zero-holes --header "$header" "$image"
    expect_equal "exit status" 1 "$status"
    grep -qF "nbdcrypt: $cannot" "$err" || fail "said of a header that can't be written: $(cat "$err")"
    run_nbdcrypt serve --read-only --key-file "$passphrase" --zero-holes --header "$header" --run true "$image"
    expect_equal "exit status with --read-only" 0 "$status"
fi
run_as=()
chmod 600 "$header" "$image" "$passphrase"
chmod 700 "$test_dir"

# No room: for the token, and on the storage.
cp "$backup.image" "$image"
printf '{"type":"x","keyslots":[]}' >"$test_dir/token"
for ((i = 0; i < 32; i++)); do
    expect_success token import "$image" "$test_dir/token"
done
before=$(sha256_of "$image")
expect_failure 1 "$cannot image '$image': all 32 tokens of the header are in use: remove one that is not needed \
(nbdcrypt token list shows them)" serve --unix "$test_dir/socket" --key-file "$passphrase" --zero-holes "$image"
expect_equal "checksum" "$before" "$(sha256_of "$image")"
mkdir "$test_dir/full"
if [ "$(id -u)" -eq 0 ] && mount -t tmpfs -o size=24M none "$test_dir/full" 2>"$log_dir/mount"; then
    full=$test_dir/full/disk
    cp --sparse=always "$backup.image" "$full"
    fallocate --dig-holes "$full"
    dd if=/dev/zero of="$test_dir/full/rest" bs=4096 status=none 2>"$log_dir/dd" || true
    run_nbdcrypt serve --unix "$test_dir/socket" --key-file "$passphrase" --zero-holes "$full"
    expect_equal "exit status on a full disk" 1 "$status"
    grep -qF "nbdcrypt: $cannot image '$full': " "$err" || fail "said on a full disk: $(cat "$err")"
    grep -q 'No space left on device' "$err" || fail "said on a full disk: $(cat "$err")"
    expect_success key test --key-file "$passphrase" "$full"
fi

# Nobody knows when it is durable.
cp "$backup.image" "$test_dir/remote-file"
new_remote
start_fake "$test_dir/remote-file" volatile=no flags=1
expect_failure 1 "$cannot '$remote' offers no flush, so nothing that is written there is known to be durable" \
    serve --unix "$test_dir/socket" --key-file "$passphrase" --zero-holes "$remote"
kill_remote
expect_recorded no "$test_dir/remote-file"
start_fake "$test_dir/remote-file"
serve_once --zero-holes "$remote"
kill_remote
expect_recorded yes "$test_dir/remote-file"

# LUKS1 has no place for it: it is said at each start.
rm "$image"
expect_success format --type luks1 --key-file "$passphrase" "${fast[@]}" --size 1M "$image"
for _ in first second; do
    serve_once --zero-holes "$image"
    expect_message "$server_log" "nbdcrypt: image '$image': LUKS1 can't say in its header that holes are zeros: always \
serve it with --zero-holes, without which they read as noise"
done
serve_once "$image"
expect_failure 1 "image '$image': LUKS1 has no tokens, so its header can't say that holes are zeros" \
    header zero-holes "$image" on
