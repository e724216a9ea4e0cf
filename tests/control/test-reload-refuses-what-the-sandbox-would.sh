#!/bin/bash
# A key-command that the sandbox will not start is refused by the reload which brings it, with its file and line and what to do,
# and by a dry run: not only when the export is opened once more, or resumed.  Nothing has changed then.
. "$(dirname "$0")/../support/functions.sh"
unset TEST_SANDBOX

folder=$(temp_dir) control=$(temp_socket)
config=$folder/nbdcrypt.conf
chmod 755 "$folder"
umask 022
printf passphrase >"$folder/key"
expect_success format --type luks2 --pbkdf pbkdf2 --pbkdf-iterations 1000 --size 8M --key-file "$folder/key" "$folder/one"
cp "$folder/one" "$folder/two"

# write_config COMMAND-OF-ONE [COMMAND-OF-TWO]
write_config() {
    printf '%s\n' "[server]" "[export one]" "image = $folder/one" "key-command = $1" >"$config"
    [ $# -lt 2 ] || printf '%s\n' "[export two]" "image = $folder/two" "key-command = $2" >>"$config"
}
ctl() {
    timeout 60 "$NBDCRYPT" ctl --socket "$control" "$@"
}
everything() {
    ctl --json exports
    ctl --json status | grep -v -e since -e clients -e handshakes
}
# is_refused LINE NAME PROGRAM
is_refused() {
    local before how sentence

    sentence="nbdcrypt.conf:$1: the key-command of export '$2' would not be started: the sandbox lets only those .* may start '$3' as well; those that may come later are named by \[sandbox\] programs"
    before=$(everything)
    for how in --dry-run --json; do
        ! ctl reload $how >"$log_dir/reload" 2>&1 || fail "taken: $2"
        expect_match "$log_dir/reload" "$sentence"
    done
    expect_equal "what is served after that" "$before" "$(everything)"
}

# check [OPTION...]
check() {
    write_config "cat $folder/key"
    start_nbdcrypt --control "$control" --config "$config" "$@"
    write_config "cat $folder/key" "head -c 100 $folder/key"
    is_refused 5 two head
    write_config "head -c 100 $folder/key" # of one that is open
    is_refused 2 one head
    ctl suspend one
    is_refused 2 one head
    write_config "cat $folder/key" "cat $folder/key"
    ctl reload >"$log_dir/plan"
    expect_match "$log_dir/plan" '^\+ two '
    ctl resume one
    stop_nbdcrypt
}
check --sandbox-programs none
is_sanitized || check --sandbox strict --sandbox-image-paths "$folder" # which needs a filter of system calls

# Where any program may come, it does.
write_config "cat $folder/key"
start_nbdcrypt --control "$control" --config "$config" --sandbox-programs head
write_config "head -c 100 $folder/key" "head -c 100 $folder/key"
ctl reload >"$log_dir/plan"
ctl suspend one
ctl resume one
stop_nbdcrypt
