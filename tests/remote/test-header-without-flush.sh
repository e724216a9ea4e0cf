#!/bin/bash
# Headers on a remote disk that offers no FLUSH are written with FUA: what was said to be done survives the server's
# kill -9.  Where there is no FUA either, a warning says what that means.
. "$(dirname "$0")/../support/functions.sh"
. "$(dirname "$0")/../support/remote-functions.sh"

requires nbdinfo --version
fast=(--pbkdf pbkdf2 --pbkdf-iterations 1000)
disk=$(temp_file) second=$(temp_file)
printf second >"$second"
truncate --size=18M "$disk"

new_remote
start_fake "$disk" flags=9 # FUA
for command in format "key add --new-key-file $second"; do
    read -r -a words <<<"$command"
    expect_success "${words[@]}" --key-file "$passphrase" "${fast[@]}" "$remote"
    kill_remote
    start_fake "$disk" flags=9
    expect_success key test --key-file "$passphrase" "$remote"
done
expect_success key test --key-file "$second" "$remote"
kill_remote

start_fake "$disk" flags=1 # neither
warning="nbdcrypt: image '$remote': it has neither FLUSH nor FUA, so that nobody knows when something is stored for \
good: a loss of power there may undo the change or leave it half done"
while read -r -a command; do
    run_nbdcrypt "${command[@]}"
    expect_equal "status of '${command[*]}'" 0 "$status"
    expect_equal "what '${command[*]}' says" "$warning" "$(cat "$err")"
done <<END
key remove --slot 1 $remote
header discard $remote on
erase --yes $remote
format --force --key-file $passphrase ${fast[*]} $remote
END
expect_success key test --key-file "$passphrase" "$remote" # nothing is written
kill_remote
