#!/bin/bash
# --allow decides who attaches what: clients of others see only what is theirs, and the log says why.
. "$(dirname "$0")/../support/functions.sh"

requires nbdinfo --version
requires qemu-img --version

me=$(id -u) my_group=$(id -g) other=$(($(id -u) + 1))

# names_of URI: what LIST shows, on one line.
names_of() {
    nbdinfo --list --json "$1" | python -c 'import json, sys
print(*[e["export-name"] for e in json.load(sys.stdin)["exports"]])'
}

# expect_refused COMMAND...: it fails; its messages are in $answer.
expect_refused() {
    if answer=$("$@" 2>&1); then fail "'$*' succeeded"; fi
}

# expect_unknown NAME: neither libnbd nor QEMU nor EXPORT_NAME gets it, and it is as one that is not there.
expect_unknown() {
    local command

    for command in nbdinfo "qemu-img info"; do
        # shellcheck disable=SC2086 # several words
        expect_refused $command "$base/nowhere$query"
        expected=${answer//nowhere/$1}
        # shellcheck disable=SC2086
        expect_refused $command "$base/$1$query"
        expect_equal "$command of '$1'" "$expected" "$answer"
    done
    python - "$base/$1$query" <<'PY'
import sys
from nbd_client import *

client = Client(sys.argv[1], handshake=False)
client.send_client_flags()
client.send_option(OPT_EXPORT_NAME, client.name.encode())
client.expect_end()
PY
}

# Unix: by user and group; an export without rules of its own has the common ones.
start_nbdcrypt --raw --verbose --allow "uid:$me" --export "mine=memory:1M,allow=gid:$my_group&uid:$me" \
    --export common=memory:2M --export "theirs=memory:3M,allow=uid:$other" --export open=memory:4M,allow=any
base=nbd+unix:// query="?socket=$socket"
expect_equal "names" "mine common open" "$(names_of "$base/$query")"
expect_equal "size of mine" 1048576 "$(nbdinfo --size "$base/mine$query")"
expect_equal "size of common" 2097152 "$(nbdinfo --size "$base/common$query")"
expect_unknown theirs
expect_match "$server_log" "client pid [0-9]+ uid $me: GO refused: export 'theirs' is not allowed to it: no --allow rule matches"
expect_match "$server_log" "client pid [0-9]+ uid $me: EXPORT_NAME refused: export 'theirs' is not allowed to it"
expect_match "$server_log" "client pid [0-9]+ uid $me: LIST leaves out 1 of 4 exports: no --allow rule matches"
expect_match "$server_log" "GO refused: there is no export 'nowhere'"
stop_nbdcrypt

# Who sees nothing is told to the operator without --verbose.
start_nbdcrypt --raw --allow "uid:$other" --export a=memory:1M --export b=memory:2M
expect_equal "names" "" "$(names_of "nbd+unix:///?socket=$socket")"
wait_until 30 grep -q 'LIST leaves out' "$server_log"
expect_match "$server_log" "notice: client pid [0-9]+ uid $me: LIST leaves out 2 of 2 exports: no --allow rule matches"
stop_nbdcrypt

# TCP: by network.  Of two exports one is there for the client, so it is the default.
start_nbdcrypt --raw --verbose --listen 127.0.0.1:0 --export "near=memory:1M,allow=net:127.0.0.0/8" \
    --export far=memory:2M,allow=net:192.0.2.0/24
base=nbd://127.0.0.1:$port query=''
expect_equal "names" near "$(names_of "$base/")"
expect_equal "size of the default" 1048576 "$(nbdinfo --size "$base/")"
expect_unknown far
stop_nbdcrypt

# The only export is not the default of those who may not attach it.
start_nbdcrypt --raw --verbose --allow "uid:$other" memory:1M
base=nbd+unix:// query="?socket=$socket"
expect_equal "names" "" "$(names_of "$base/$query")"
expect_refused nbdinfo "$base/$query"
expect_refused qemu-img info "$base/$query"
[[ $answer = *"there is no export that this client may attach: who runs the server decides that"* ]] || fail "qemu-img says $answer"
expect_match "$server_log" "GO refused: export '' is not allowed to it: no --allow rule matches"
stop_nbdcrypt

# Rules that nobody can match here.
start_nbdcrypt --raw --listen 127.0.0.1:0 --allow uid:0 --export a=memory:1M --export b=memory:1M \
    --export c=memory:1M,allow=cert:CN=vm7,,O=Example,allow=net:127.0.0.1
expect_equal "warnings" "nbdcrypt: --allow uid:0 lets nobody in: the server listens on no Unix socket
nbdcrypt: export 'c': allow=cert:CN=vm7,O=Example lets nobody in: the server does not ask for certificates" \
    "$(cat "$server_log")"
expect_equal "names" c "$(names_of "$uri")"
stop_nbdcrypt
