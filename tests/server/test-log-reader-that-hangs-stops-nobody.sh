#!/bin/bash
# Nobody reads the log: clients come, are served and go, and SIGTERM ends the server cleanly all the same. When it is
# read again, it tells how many messages were lost.
. "$(dirname "$0")/../support/functions.sh"

image=$(temp_file)
truncate --size=1M "$image"

python "$source_dir/tests/server/log-reader-that-hangs-stops-nobody.py" "$NBDCRYPT" "$image" "$(temp_socket)" "$test_dir/late" </dev/null
expect_match "$test_dir/late" '^[-0-9T:.]+Z nbdcrypt\[[0-9]+\] warning: [0-9]+ messages were lost here: '
