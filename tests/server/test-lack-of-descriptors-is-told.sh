#!/bin/bash
# Where a process may have few descriptors (ulimit -n), each command either does its work or says in one line that this is
# why it doesn't, and how to have more; then nothing has changed.  A server that has started has what its end takes.
. "$(dirname "$0")/../support/functions.sh"

requires prlimit --version

image=$test_dir/image before=$test_dir/before backup=$test_dir/backup new_passphrase=$(temp_file)
echo another one >"$new_passphrase"
fast=(--pbkdf pbkdf2 --pbkdf-iterations 1000)

limits() {
    { seq 4 26; echo 40; } | sample 8
    ! is_sanitized || echo 40
}

# each_limit ARGUMENT...
each_limit() {
    local limit

    rm -f "$backup"
    cp "$before" "$image"
    for limit in $(limits); do
        run_as=(prlimit --nofile="$limit")
        run_nbdcrypt "$@"
        # shellcheck disable=SC2034 # run_nbdcrypt() uses it
        run_as=()
        if [ "$status" -eq 0 ]; then
            [ ! -s "$err" ] || fail "$limit descriptors: 'nbdcrypt $*' succeeded, and said: $(cat "$err")"
            [ "$limit" -eq 40 ] || rm -f "$backup"
            cmp -s "$before" "$image" || cp "$before" "$image"
            continue
        fi
        expect_equal "$limit descriptors: exit status of 'nbdcrypt $*'" 1 "$status"
        expect_equal "$limit descriptors: lines of 'nbdcrypt $*': $(cat "$err")" 1 "$(wc -l <"$err")"
        # shellcheck disable=SC2016 # these are no commands
        expect_match "$err" '(Too many open files|too few descriptors).*; raise `ulimit -n` \(LimitNOFILE= of a service\)$'
        cmp "$before" "$image" || fail "$limit descriptors: 'nbdcrypt $*' failed, and changed the image"
        [ ! -e "$backup" ] || fail "$limit descriptors: 'nbdcrypt $*' failed, and left a file"
    done
    expect_equal "40 descriptors: exit status of 'nbdcrypt $*' ($(cat "$err"))" 0 "$status"
}

for type in luks1 luks2; do
    pbkdf=("${fast[@]}")
    [ "$type" = luks2 ] || pbkdf=(--pbkdf-iterations 1000)
    rm -f "$image"
    expect_success format --key-file "$passphrase" --type "$type" "${pbkdf[@]}" --size 1M "$image"
    cp "$image" "$before"
    each_limit key change --key-file "$passphrase" --new-key-file "$new_passphrase" "${pbkdf[@]}" "$image"
    each_limit header backup "$image" "$backup"
    mv "$backup" "$backup-kept"
done
each_limit info "$image"
each_limit header restore --force "$image" "$backup-kept"
each_limit serve --threads 1 --key-file "$passphrase" --run true "$image"
: >"$before"
truncate --size=20M "$before"
each_limit format --force --key-file "$passphrase" "${fast[@]}" "$image"
each_limit serve --raw --threads 2 --run true "$image"
