#!/bin/bash
# A local program asks the control socket for a connection, and attaches an export by the descriptor that it gets; the rules
# of the export hold for its user.
. "$(dirname "$0")/../support/functions.sh"

image=$(temp_file)
make_pattern "$image" 1M
control=$(temp_socket)
export NBDCRYPT_ALLOW_CORE=1
start_nbdcrypt --raw --control "$control" --export "mine=$image,allow=uid:$(id -u)" --export "theirs=$image,allow=uid:64001,no-lock"

"$PYTHON" "$source_dir/tests/control/connect-client-gives-a-socket.py" "$control" "$image" "$pid" </dev/null
stop_nbdcrypt
