#!/bin/bash
# Where the storage has no locks, nothing keeps two writers apart: that is refused with the reason, whatever the
# errno, and goes on with --no-lock and a warning.  Reading goes on with the warning.
. "$(dirname "$0")/../support/functions.sh"

requires nbdinfo --version
preload=$(realpath "${top_builddir:-.}/tests/support/no-locks.so")
[ -e "$preload" ] || fail "tests/support/no-locks.so was not built"

image=$test_dir/image second=$(temp_file) backup=$test_dir/backup json=$(temp_file)
printf second >"$second"
printf '{"type":"x","keyslots":[]}' >"$json"
fast=(--pbkdf pbkdf2 --pbkdf-iterations 1000)
expect_success format --key-file "$passphrase" "${fast[@]}" --size 1M "$image"
expect_success header backup "$image" "$backup"

# A sanitizer's library wants to be the first; after this one it works as well.
export ASAN_OPTIONS=verify_asan_link_order=0:${ASAN_OPTIONS-}
without_locks() {
    # shellcheck disable=SC2034 # for run_nbdcrypt
    run_as=(env "LD_PRELOAD=$preload" "NO_LOCKS=$1")
}
with_locks() {
    # shellcheck disable=SC2034
    run_as=()
}
refusal() {
    echo "its storage can't lock it ($1), so that nothing keeps another program from writing it meanwhile; \
--no-lock goes on without"
}
no_lock="nbdcrypt: '$image': its storage can't lock it: see to it that nothing else writes it meanwhile"

# expect_warned ARGUMENT...: it is done, and the warning is all that it says.
expect_warned() {
    run_nbdcrypt "$@"
    expect_equal "status of '$*'" 0 "$status"
    expect_equal "what '$*' says" "$no_lock" "$(cat "$err")"
}

# ENOLCK, ENOSYS, EOPNOTSUPP, EINVAL: NFS without a lock daemon, FUSE, others, old kernels.
before=$(sha256_of "$image")
while read -r number text; do
    without_locks "$number"
    expect_failure 1 "image '$image': $(refusal "$text")" serve --unix "$(temp_socket)" --key-file "$passphrase" "$image"
    expect_failure 1 "image '$image': $(refusal "$text")" \
        key add --key-file "$passphrase" --new-key-file "$second" "${fast[@]}" "$image"
done <<'END'
37 No locks available
38 Function not implemented
95 Operation not supported
22 Invalid argument
END

without_locks 37
while read -r -a command; do
    expect_failure 1 "image '$image': $(refusal 'No locks available')" "${command[@]}"
done <<END
format --force --key-file $passphrase ${fast[*]} $image
key change --key-file $passphrase --new-key-file $second ${fast[*]} $image
key remove --force --slot 0 $image
key priority --slot 0 $image prefer
header restore --yes $image $backup
header discard $image on
token import $image $json
token remove --token 0 $image
erase --yes $image
END
expect_equal "the image" "$before" "$(sha256_of "$image")"

expect_warned header discard --no-lock "$image" on
expect_warned token import --no-lock --token 0 "$image" "$json"
expect_warned token remove --no-lock --token 0 "$image"
expect_warned key priority --no-lock --slot 0 "$image" prefer
expect_warned key add --no-lock --key-file "$passphrase" --new-key-file "$second" "${fast[@]}" "$image"
expect_warned key remove --no-lock --slot 1 "$image"
expect_warned header restore --no-lock --yes "$image" "$backup"

# A server of each kind.
for options in "--no-lock $image" "--read-only $image" "--export a=$image,no-lock" "--export a=$image,read-only"; do
    read -r -a words <<<"$options"
    LD_PRELOAD=$preload NO_LOCKS=37 start_nbdcrypt --key-file "$passphrase" "${words[@]}"
    expect_equal "what the server with $options says" "$no_lock" "$(cat "$server_log")"
    expect_alive "$uri"
    stop_nbdcrypt
done

# --no-lock does not ignore a lock that somebody has.
with_locks
start_nbdcrypt --key-file "$passphrase" "$image"
in_use="another program has it open for use (is it being served already?); end that first"
expect_failure 1 "image '$image': $in_use" serve --no-lock --unix "$(temp_socket)" --key-file "$passphrase" "$image"
stop_nbdcrypt

without_locks 37
expect_warned erase --no-lock --yes "$image"
expect_warned format --force --no-lock --key-file "$passphrase" "${fast[@]}" "$image"
