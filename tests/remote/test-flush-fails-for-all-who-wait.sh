#!/bin/bash
# A remote server that tells once that it lost data: FLUSHes of several clients go to it one at a time, so that none that
# succeeds overtakes the one that failed; and a write with FUA that is made durable by a FLUSH is done again
# when another's FLUSH failed in between. What is answered with success is durable.
. "$(dirname "$0")/../support/functions.sh"

python "$source_dir/tests/remote/flush-fails-for-all-who-wait.py" "$NBDCRYPT" "$test_dir" </dev/null
