#!/bin/bash
# Of one remote disk one export writes: another one is refused while it is served, and while it is being removed.
# Those that only read, and parts that do not overlap, go side by side.
. "$(dirname "$0")/../support/functions.sh"
. "$(dirname "$0")/../support/remote-functions.sh"

requires nbdinfo --version
requires nbdkit --version
requires nbdsh --version
new_remote
folder=$(temp_dir) control=$(temp_socket) socket=$(temp_socket)
start_remote nbdkit --foreground --exit-with-parent --unix "$remote_socket" memory 8M
ln -s "$remote_socket" "$folder/other-name"
same="nbd+unix:///?socket=$folder/other-name"

# ctl_fails WORDS ARGUMENT...: with these words in the reason, and nothing has changed.
ctl_fails() {
    local words=$1 before

    shift
    before=$("$NBDCRYPT" ctl --socket "$control" exports)
    run_nbdcrypt ctl --socket "$control" "$@"
    expect_equal "exit status of 'ctl $*'" 1 "$status"
    expect_match "$err" "$words"
    expect_equal "exports" "$before" "$("$NBDCRYPT" ctl --socket "$control" exports)"
}
ctl() { expect_success ctl --socket "$control" "$@"; }
served="export 'one' writes it already: remove that one first"
leaving="export 'one' is being removed and still has it in use"

# They are opened side by side: one of the two.
start_nbdcrypt --raw --export "first=$remote" --export "second=$same"
expect_match "$server_log" "export '(first|second)' is not served: image '.*': export '(first|second)' writes it already"
stop_nbdcrypt

start_nbdcrypt --unix "$socket" --control "$control" --raw --export "one=$remote"

# By another name of its socket; whoever only reads does no harm.
ctl_fails "$served" add two "$same" raw=yes
ctl add reader "$same" raw=yes read-only=yes
ctl_fails "$served" replace reader "$remote" raw=yes
ctl add forced "$remote" raw=yes force-in-use=yes
ctl remove forced
ctl_fails "$served" add two "$remote" raw=yes

# A client has it for as long as somebody writes into the fifo.
mkfifo "$folder/stay"
nbdsh --uri "nbd+unix:///one?socket=$socket" --command 'print("here", flush=True); input()' \
    <"$folder/stay" >"$folder/client" 2>&1 &
remember_pid $!
exec 7>"$folder/stay"
wait_until 30 grep -q here "$folder/client"
"$NBDCRYPT" ctl --socket "$control" remove --drain 120 one >"$folder/removal" 2>&1 &
removal=$!
remember_pid "$removal"
is_gone() { ! "$NBDCRYPT" ctl --socket "$control" exports | grep -q '^one '; }
wait_until 30 is_gone
ctl_fails "$leaving" add one "$remote" raw=yes
ctl_fails "$leaving" add two "$same" raw=yes
echo >&7
exec 7>&-
wait "$removal" || fail "the removal has failed: $(cat "$folder/removal")"
ctl add one "$remote" raw=yes
ctl remove one

# Parts that do not overlap have a writer each.
ctl add one "$remote&offset=1M&size=1M" raw=yes
ctl add front "$remote&offset=0&size=1M" raw=yes
ctl_fails "$served" add back "$remote&offset=2047K&size=1M" raw=yes
ctl add back "$remote&offset=2M&size=1M" raw=yes
ctl_fails "writes it already" add all "$remote" raw=yes
stop_nbdcrypt

# It is told before.
cat >"$folder/two.conf" <<END
[export reader]
image = $remote
raw = yes
read-only = yes
[export one]
image = $remote
raw = yes
[export other]
image = nbd+unix:///other?socket=$remote_socket
raw = yes
[export two]
image = $same
raw = yes
END
chmod 600 "$folder/two.conf"
run_nbdcrypt check --config "$folder/two.conf" --open
expect_equal "status" 1 "$status"
expect_message "$err" "nbdcrypt: $folder/two.conf:11: export 'two': image '$same' is that of export 'one', too: only one \
of them can be opened, unless one is read-only; the other one is in $folder/two.conf:5"
expect_equal "findings" 1 "$(grep -c . "$err")"
