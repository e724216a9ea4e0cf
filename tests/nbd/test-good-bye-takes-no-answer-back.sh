#!/bin/bash
# A client that says DISC, and something after it (as TLS does), gets the answers to all that it has asked for before, however
# slowly it takes them; and one that takes none of them does not stay.
. "$(dirname "$0")/../support/functions.sh"
. "$(dirname "$0")/../support/tls.sh"

image=$(temp_file)
make_pattern "$image" 4M
make_pki
start_nbdcrypt --raw --listen 127.0.0.1:0 "$image"
python "$source_dir/tests/nbd/good-bye-takes-no-answer-back.py" "$uri" "$server_log" "$image"
stop_nbdcrypt
start_tls_nbdcrypt --raw "$image"
python "$source_dir/tests/nbd/good-bye-takes-no-answer-back.py" "nbd://localhost:$port/" "$server_log" "$image" "$pki"
stop_nbdcrypt
