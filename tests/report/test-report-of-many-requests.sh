#!/bin/bash
# A report that is taken while thousands of requests of a hundred clients wait for storage is complete, and loses none of them.
. "$(dirname "$0")/../support/functions.sh"
. "$(dirname "$0")/../support/report-functions.sh"
. "$(dirname "$0")/../support/remote-functions.sh"

requires nbdkit memory --version
new_remote
start_remote nbdkit --foreground --threads 4 --unix "$remote_socket" memory 4M
control=$(temp_socket)
start_nbdcrypt --raw --threads 2 --hung-request 0 --report-directory "$reports" --control "$control" "$remote"
python "$source_dir/tests/report/report-of-many-requests.py" "$uri" "$control" "$NBDCRYPT" "$remote_pid" </dev/null
stop_nbdcrypt
