#!/bin/bash
# A key file that everybody may read or write is used with a warning, whichever option names it, and so are keys that
# can't be locked in memory; a file in a private folder, and keys that are locked, are not spoken of.
. "$(dirname "$0")/../support/functions.sh"

requires cryptsetup --version

fast=(--pbkdf pbkdf2 --pbkdf-iterations 1000)
image=$(temp_file) key=$test_dir/key volume_key=$test_dir/volume-key new=$test_dir/new
format_luks2 "$image" 1M
cp "$passphrase" "$key"
printf new >"$new"
cryptsetup_quietly luksDump --dump-volume-key --volume-key-file "$volume_key" "$image"

# expect_warnings TEXT ARGUMENT...: all that the command says on standard error; it succeeds.
expect_warnings() {
    run_nbdcrypt "${@:2}"
    expect_equal "exit status of ${*:2}" 0 "$status"
    expect_equal "what ${*:2} says" "$1" "$(cat "$err")"
}

warning() {
    echo "nbdcrypt: $1: everybody may $2 it, and it holds a key: chmod 600 it"
}

# Who may not enter the folder may not read what is in it.
chmod 644 "$key" "$volume_key" "$new"
expect_warnings '' key test --key-file "$key" "$image"

# Everybody may enter this one, whatever name it is called by; unless the folder around it is private.
parent=$test_dir
while [ "$parent" != / ]; do
    parent=$(dirname "$parent")
    [ "$(($(stat --format=0%a "$parent") & 1))" = 1 ] || skip "not everybody may enter $parent"
done
chmod 711 "$test_dir"
ln -s "$key" "$test_dir/link"
expect_warnings "$(warning "$key" read)" key test --key-file "$key" "$image"
expect_warnings "$(warning "$test_dir/link" read)" key test --key-file "$test_dir/link" "$image"
expect_warnings "$(warning "$key" read)" serve --key-file "$key" --run true "$image"
expect_warnings "$(warning "$key" read)" serve --run true --export "a=$image,key-file=$key"
expect_warnings "$(warning "$volume_key" read)" key test --volume-key-file "$volume_key" "$image"
CREDENTIALS_DIRECTORY=$test_dir expect_warnings "$(warning "$key" read)" key test --key-credential key "$image"
expect_warnings "$(warning "$key" read)"$'\n'"$(warning "$new" read)" \
    key add --key-file "$key" --new-key-file "$new" "${fast[@]}" "$image"
chmod 602 "$key"
expect_warnings "$(warning "$key" write)" key test --key-file "$key" "$image"
for mode in 600 640 660; do
    chmod $mode "$key"
    expect_warnings '' key test --key-file "$key" "$image"
done
chmod 644 "$key"
mkdir --mode=700 "$test_dir/private"
cp "$key" "$test_dir/private/key"
expect_warnings '' key test --key-file "$test_dir/private/key" "$image"
chmod 600 "$key" "$volume_key" "$new"

# A key that is larger than what may be locked.
is_sanitized && exit 0 # there, nothing is ever locked
large=$test_dir/large
make_pattern "$large" 1M
chmod 600 "$large"
cryptsetup_quietly luksAddKey "${fast_pbkdf[@]}" "$image" "$large"
if [ "$(id -u)" -eq 0 ]; then # who may lock what he likes
    # Nobody else's: what io_uring locks counts for all processes of a user.
    user=$((200000 + $$))
    run_as=(setpriv --reuid="$user" --regid="$user" --clear-groups)
    chmod 604 "$image"
    chown "$user" "$large"
fi
if ! "${run_as[@]+"${run_as[@]}"}" "$NBDCRYPT" --version >"$log_dir/version" 2>&1; then
    note "others may not run $NBDCRYPT: locked memory was not tried"
    exit 0
fi
expect_warnings '' key test --key-file "$large" "$image"
# Before the other user comes in, who may not enter a folder such as /root to start the program there himself.
run_as=(prlimit --memlock=$((1 << 20)) "${run_as[@]+"${run_as[@]}"}")
run_nbdcrypt key test --key-file "$large" "$image"
if grep -q 'io_uring could not be set up' "$err"; then
    note "other processes of this user have locked what may be locked"
    exit 0
fi
expect_warnings "nbdcrypt: keys can't be locked in memory, so that they may be swapped out: Cannot allocate memory; raise \
\`ulimit -l\` (LimitMEMLOCK= of a service), or encrypt the swap space" key test --key-file "$large" "$image"
