#!/bin/bash
# A remote server that forgets what was not flushed dies at each moment of a WRITE, a FLUSH and a READ: what was not
# answered is sent again, and a FLUSH fails, once, exactly when a write that had been answered may be lost.
. "$(dirname "$0")/../support/functions.sh"
. "$(dirname "$0")/../support/remote-functions.sh"

disk=$(temp_file)
truncate --size=1M "$disk"

for kind in '' multi-conn; do
    new_remote
    start_fake "$disk" ${kind:+"$kind"}
    start_nbdcrypt --raw --threads 2 "$remote"
    kill_remote
    python "$source_dir/tests/remote/dies-at-each-moment.py" "$uri" "$remote_socket" "$disk" ${kind:+"$kind"} </dev/null
    stop_nbdcrypt
done
