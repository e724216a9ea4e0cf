#!/bin/bash
# TLS is switched on, demanded and off by reloads while clients are attached and at each stage of a handshake: nobody is let in
# without TLS where it is demanded, sessions go on, and no client ends the server.
. "$(dirname "$0")/../support/functions.sh"
. "$(dirname "$0")/../support/tls.sh"

make_pki
folder=$(temp_dir) control=$(temp_socket)
chmod 755 "$folder"
umask 022
{
    printf '[server]\nunix = %s\nlisten = 127.0.0.1:0\nthreads = 2\n[tls]\nmode = off\n' "$folder/sock"
    printf '[control]\nsocket = %s\n[export disk]\nimage = memory:1M\nraw = yes\n' "$control"
} >"$folder/conf"
mkfifo "$test_dir/ready"
server_log=$log_dir/server
"$NBDCRYPT" serve --config "$folder/conf" </dev/null >"$test_dir/ready" 2>"$server_log" &
pid=$!
remember_pid "$pid"
wait_for_ready "$test_dir/ready"
"$PYTHON" "$(dirname "$0")/mode-changes-under-clients.py" "nbd+unix:///disk?socket=$folder/sock" "nbd://127.0.0.1:$port/disk" \
    "$pki" "$folder/conf" "$control"
stop_nbdcrypt
