#!/bin/bash
# What was answered to clients and is lost with a remote server makes a FLUSH fail: also a write of which the server before
# had answered a part only, on each connection, after a client has vanished, and when the server itself fails a FLUSH.
. "$(dirname "$0")/../support/functions.sh"
. "$(dirname "$0")/../support/remote-functions.sh"

requires cryptsetup --version

disk=$(temp_file)
format_luks2 "$disk" 8M --sector-size 4096
cp "$disk" "$disk.luks"

# try NAME [BEHAVIOUR...]: the function of that name, below, with a server and nbdcrypt of its own.
try() {
    local name=$1

    shift
    new_remote
    start_fake "$disk" "$@"
    start_nbdcrypt "${options[@]}" --threads 2 "$remote"
    kill_remote
    python "$source_dir/tests/remote/flush-fails-for-what-was-lost-try.py" "$name" "$uri" "$remote_socket" "$disk" "$@" </dev/null
    stop_nbdcrypt
}

options=(--raw)
for kind in '' multi-conn; do
    try write_spans ${kind:+"$kind"}
    try each_connection_is_told ${kind:+"$kind"}
    try who_vanished_is_told ${kind:+"$kind"}
    try the_server_fails_a_flush ${kind:+"$kind"}
done
try fua_without_fua flags=69
try fua_without_fua flags=325 # several connections
cp "$disk.luks" "$disk"
options=(--key-file "$passphrase")
try zeroes_span
try zeroes_span multi-conn
