#!/bin/bash
# A request that the server never answers fails after retry-for seconds, though others are answered all the time on the
# connections that are lost with it.
. "$(dirname "$0")/../support/functions.sh"
. "$(dirname "$0")/../support/remote-functions.sh"

disk=$(temp_file)
make_pattern "$disk" 1M

for kind in "" multi-conn; do
    new_remote
    start_fake "$disk" never=8192 ${kind:+"$kind"}
    start_nbdcrypt --raw --threads 1 "$remote&timeout=1&retry-for=2"
    python "$source_dir/tests/remote/unanswered-request-fails-alone.py" "$uri" </dev/null
    expect_match "$server_log" 'a request fails: connections were lost before its answer for 2 seconds$'
    stop_nbdcrypt
    kill_remote
done
