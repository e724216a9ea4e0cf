#!/bin/bash
# A server that has started has what its end takes: where nothing can be had any more, no descriptor, no locked memory and no
# other memory, it still makes durable what was written, and leaves with 0.
. "$(dirname "$0")/../support/functions.sh"

requires prlimit --version

chmod 711 "$test_dir"
chmod 644 "$passphrase"
image=$test_dir/image second=$test_dir/second
user=()
# Root may lock what it wants.
if [ "$(id -u)" -eq 0 ] && ! is_sanitized; then
    uid=$((200000 + $$ % 100000))
    user=(setpriv "--reuid=$uid" "--regid=$uid" --clear-groups)
    "${user[@]}" test -x "$NBDCRYPT" || user=()
fi
format_luks2 "$image" 4M
truncate --size=4M "$second"
chmod 666 "$image" "$second"

# To look for leaks takes memory, which it does not have in the end.
export ASAN_OPTIONS=detect_leaks=0:${ASAN_OPTIONS-}

# Sets $pid, $uri and $server_log; the second export is not encrypted.
serve() {
    local socket_path ready=$test_dir/ready-$1

    folder=$(temp_dir)
    chmod 777 "$folder"
    socket_path=$folder/s server_log=$log_dir/server-$1
    mkfifo "$ready"
    NBDCRYPT_ALLOW_CORE=1 "${user[@]+"${user[@]}"}" "$NBDCRYPT" serve --threads 1 --unix "$socket_path" \
        --export "luks=$image,key-file=$passphrase" --export "raw=$second,raw" </dev/null >"$ready" 2>"$server_log" &
    pid=$!
    remember_pid "$pid"
    wait_for_ready "$ready"
    uri="nbd+unix:///luks?socket=$socket_path"
}

# A sanitizer maps memory as it likes.
for what in nofile memlock $(is_sanitized || echo as); do
    serve "$what"
    "$PYTHON" -c '
import sys
from nbd_client import *
with Client(sys.argv[1]) as client:
    client.write(0, b"a" * 4096)
' "$uri"
    "${user[@]+"${user[@]}"}" prlimit --pid="$pid" "--$what=0:"
    stop_nbdcrypt
    ! grep -E 'error|could not|too few|memory' "$server_log" || fail "without $what the end was not a good one"
done
