#!/bin/bash
# Clients of the control socket that mean no good: the server answers others at once all the while, keeps no descriptor of
# theirs, and gives no more memory away than its limits say.
. "$(dirname "$0")/../support/functions.sh"

image=$(temp_file)
truncate --size=1M "$image"
control=$(temp_socket)
export NBDCRYPT_ALLOW_CORE=1 # its descriptors can be counted then
start_nbdcrypt --raw --control "$control" "$image"
export -n NBDCRYPT_ALLOW_CORE

"$PYTHON" "$source_dir/tests/control/hostile-clients-harm-nobody.py" "$control" "$pid" </dev/null

expect_alive
stop_nbdcrypt
