#!/bin/bash
# Each kind of event that the sources tell is in the manual and offered by completion; and what happens with keys, certificates,
# and places is told.
. "$(dirname "$0")/../support/functions.sh"

kinds=$(grep -rhoE '(type = (result < 0 \? "[a-z.]+" : )?|conversation_event(_of)?\([^"]*)"[a-z]+[.-][a-z.]+"' "$source_dir"/server "$source_dir"/plugins --include='*.c' |
    grep -oE '[a-z]+[.-][a-z.]+' | grep -vxE 'io\..*' | sort -u)
[ "$(wc -l <<<"$kinds")" -gt 15 ] || fail "only few events were found"
"$NBDCRYPT" __complete ctl events --type "" | cut -f 1 >"$test_dir/offered"
for kind in $kinds; do
    grep -qF "$kind" "$source_dir/docs/nbdcrypt-ctl.1" || fail "$kind is not in nbdcrypt-ctl(1)"
    grep -qF "$kind" "$source_dir/server/control/org.nbdcrypt.varlink" || fail "$kind is not in the interface's text"
    grep -qxF "$kind" "$test_dir/offered" || fail "$kind is not offered for --type"
done

disk=$(temp_file) control=$(temp_socket) pki=$(temp_dir)/pki other=$(temp_file)
format_luks2 "$disk" 1M
echo "another passphrase" >"$other"
expect_success tls init "$pki" --host localhost --days 2
start_nbdcrypt --control "$control" --max-connections 1 --tls on --tls-certificates "$pki/server" --tls-no-verify-peer \
    --export "raw=memory:1M,raw"
"$NBDCRYPT" ctl --socket "$control" events >"$test_dir/events" 2>"$log_dir/events" &
events=$!
remember_pid "$events"
wait_until 20 grep -q events.begin "$test_dir/events"
tells() {
    wait_until 20 grep -qE "^[0-9TZ:.-]+ $1" "$test_dir/events"
}

expect_success ctl --socket "$control" add disk "$disk" "key-file=$passphrase"
tells "key.used reason=\"image '$disk' by key-file\""
tells "export.added export='disk'"
run_nbdcrypt ctl --socket "$control" add disk2 "$disk" "key-file=$other" force-in-use=yes
expect_equal "status of a wrong key" 1 "$status"
tells "key.failed reason=\"image '$disk': no key"
! grep -qF "another passphrase" "$test_dir/events" || fail "a passphrase was told"
expect_success ctl --socket "$control" reload
tells "tls.expiring reason='$pki/server/server-cert.pem: the certificate expires on "
tells "tls.renewed"
tells "reload.done"
"$PYTHON" -c '
import sys
from nbd_client import AWAY, Client
first = Client(sys.argv[1])
try:
    Client(sys.argv[1])
    sys.exit("one too many was served")
except AWAY:
    pass
' "nbd+unix:///raw?socket=$socket" </dev/null
tells "limit.reached peer='client pid"
stop_nbdcrypt
! wait "$events" || fail "who follows events was not told that they have ended"
expect_match "$log_dir/events" 'the server has closed the connection'
