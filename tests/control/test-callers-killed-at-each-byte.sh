#!/bin/bash
# Callers of AddExport go at each byte of their calls: nothing is added by half a call, and no descriptor of theirs stays open.
. "$(dirname "$0")/../support/functions.sh"

image=$(temp_file) control=$(temp_socket)
truncate --size=1M "$image"
start_nbdcrypt --control "$control" --export other=memory:1M,raw
python "$source_dir/tests/control/callers-killed-at-each-byte.py" "$control" "$image"
stop_nbdcrypt
