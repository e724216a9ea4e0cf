#!/bin/bash
# The server ends while callers of its control socket wait: for events, for the rest of a message, for an answer that they do not
# read, and for an export to be left by its client.  Each is told or cut off, and nothing is left.
. "$(dirname "$0")/../support/functions.sh"

requires qemu-io --version

image=$(temp_file)
truncate --size=1M "$image"
control=$(temp_socket)
start_nbdcrypt --raw --control "$control" --export "one=$image" --export "two=memory:1M"

mkfifo "$test_dir/commands"
qemu-io --format raw "nbd+unix:///one?socket=$socket" <"$test_dir/commands" >"$test_dir/answers" 2>&1 &
client=$!
remember_pid "$client"
exec 7>"$test_dir/commands"
printf 'read 0 512\n' >&7
wait_until 30 grep -q "512/512" "$test_dir/answers"

"$NBDCRYPT" ctl --socket "$control" events >"$test_dir/events" 2>"$log_dir/events" 7>&- &
events=$!
remember_pid "$events"
wait_until 30 grep -q events.begin "$test_dir/events"
"$NBDCRYPT" ctl --socket "$control" remove one --drain 600 >"$log_dir/remove" 2>&1 7>&- &
removal=$!
remember_pid "$removal"
is_hidden() {
    ! "$NBDCRYPT" ctl --socket "$control" exports | grep -q '^one '
}
wait_until 30 is_hidden
"$PYTHON" - "$control" "$test_dir/ready" 7>&- <<'PYTHON_END' &
import sys
from varlink_client import Connection
half, deaf = Connection(sys.argv[1]), Connection(sys.argv[1])
half.socket.sendall(b'{"method":')
for _ in range(100):
    deaf.send("org.varlink.service.GetInterfaceDescription", {"interface": "org.nbdcrypt"})
open(sys.argv[2], "w").close()
half.socket.recv(1)
PYTHON_END
others=$!
remember_pid "$others"
wait_until 30 test -e "$test_dir/ready"

before=$SECONDS
stop_nbdcrypt
[ $((SECONDS - before)) -lt 30 ] || fail "it took $((SECONDS - before)) s"
wait "$others"
wait "$events" && fail "the reader of events ended as if all were well"
wait "$removal" && fail "an export was removed that was not"
exec 7>&-
wait "$client" || true
[ ! -e "$control" ] || fail "the socket is still there"
expect_match "$server_log" "RemoveExport name='one' .*failed: NotPossible: the server is ending"
others_told=$(complaints | grep -v RemoveExport || true)
[ -z "$others_told" ] || fail "it complained: $others_told"
