#!/bin/bash
# On a disk that is full at the N-th file, for every N, and with a limit on the size of files, each command of
# `nbdcrypt tls` fails with a sentence and changes nothing; then it succeeds.
. "$(dirname "$0")/../support/functions.sh"

work=$(temp_dir)
cd "$work"

# state: every file with its content.
state() {
    find . -mindepth 1 -not -name err -type f -exec sha256sum {} + -o -mindepth 1 -type d -print | sort | sha256sum
}

# A limit of 0 bytes: nothing can be written at all.
"$NBDCRYPT" tls init kept --host localhost >/dev/null
"$NBDCRYPT" tls psk keys.psk alice >/dev/null
before=$(state)
for command in "init pki --host localhost" "init kept --host localhost --force" "client kept alice" \
    "client kept client --force" "server kept" "revoke kept client" "psk keys.psk bob" "psk new.psk bob"; do
    status=0
    # shellcheck disable=SC2086 # words of a command
    (ulimit -f 0 && exec "$NBDCRYPT" tls $command) 2>&1 >/dev/null | cat >"$log_dir/err" || status=$?
    [ "$status" -eq 1 ] || fail "'$command' ended with status $status"
    expect_match "$log_dir/err" '^nbdcrypt: .*File too large$'
    expect_equal "what '$command' has left" "$before" "$(state)"
done

# A disk of our own, in a namespace of our own.
requires unshare --version
unshare --user --map-root-user --mount true 2>"$log_dir/unshare" || skip "no namespaces of one's own here"

cat >on-small-disk.sh <<'END'
# on-small-disk.sh STATE-FUNCTION: for each command, the disk has room for ever more files until it succeeds.
set -euo pipefail
disk=$1 log=$2

state() {
    find . -mindepth 1 -type f -exec sha256sum {} + -o -mindepth 1 -type d -print | sort | sha256sum
}

# leave_room N: for N more files or folders.
leave_room() {
    local n

    for ((n = 0; n < 200; n++)); do
        { : >"$disk/filler/$n"; } 2>"$log" || break
    done
    for ((n = n - 1; $1 > 0; n--)); do
        rm "$disk/filler/$n"
        set -- $(($1 - 1))
    done
}

mount -t tmpfs -o size=4M,nr_inodes=100 none "$disk"
mkdir "$disk/filler" "$disk/work"
cd "$disk/work"
for command in "init pki --host localhost" "client pki alice" "client pki alice --force" "server pki" \
    "revoke pki alice" "psk keys.psk alice" "init pki --host localhost --force"; do
    for ((room = 0; ; room++)); do
        before=$(state) status=0
        leave_room "$room"
        # shellcheck disable=SC2086 # words of a command
        "$NBDCRYPT" tls $command >/dev/null 2>"$log" || status=$?
        [ "$status" -ne 0 ] || break
        [ "$status" -eq 1 ] || { echo "'$command' ended with status $status"; exit 1; }
        [ "$before" = "$(state)" ] ||
            { echo "'$command' failed with room for $room files and left something:"; find .; exit 1; }
        grep -q 'No space left on device$' "$log" || { echo "'$command':"; cat "$log"; exit 1; }
    done
    echo "$command: $room failures"
    [ "$room" -gt 0 ] || exit 1
    [ -z "$(find . -name '.nbdcrypt*')" ] || { find .; exit 1; }
done
END
mkdir disk
unshare --user --map-root-user --mount bash on-small-disk.sh "$work/disk" "$log_dir/small" >"$log_dir/commands" 2>&1 ||
    fail "on a small disk: $(tail -n 20 "$log_dir/commands")"
expect_equal "commands" 7 "$(grep -c failures "$log_dir/commands")"
