#!/bin/bash
# Clients fill their connections with replies that they do not read, and then send as many FLUSHes as one may: more than
# a worker has slots for. Others, on the same worker, are served at once, old ones and new ones.
. "$(dirname "$0")/../support/functions.sh"

attacked=$(temp_file) image=$(temp_file)
truncate --size=4M "$attacked" "$image"
start_nbdcrypt --threads 1 --raw --export attacked="$attacked" --export "=$image"

python "$source_dir/tests/nbd/clients-that-read-nothing-stop-nobody.py" "$socket" "$(is_sanitized && echo 160 || echo 300)" </dev/null
stop_nbdcrypt
