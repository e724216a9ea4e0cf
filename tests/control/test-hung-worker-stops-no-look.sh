#!/bin/bash
# A worker that hangs stops nobody from looking: what it does, its clients and what they wait for are told at once.  Who asks
# something of that worker waits alone, and it is done when the worker goes on.
. "$(dirname "$0")/../support/functions.sh"

requires_python_module ctypes
control=$(temp_socket)
export NBDCRYPT_ALLOW_CORE=1 # so that a thread of it can be stopped
start_nbdcrypt --raw --threads 2 --control "$control" --export a=memory:1M --export b=memory:1M
export -n NBDCRYPT_ALLOW_CORE
"$PYTHON" "$source_dir/tests/control/hung-worker-stops-no-look.py" "$control" "$socket" "$pid" </dev/null || {
    [ $? -ne 77 ] || skip "no thread can be stopped here"
    fail "see above"
}
stop_nbdcrypt
