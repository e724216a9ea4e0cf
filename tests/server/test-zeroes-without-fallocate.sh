#!/bin/bash
# WRITE_ZEROES reads back as zeros on a file system that can't zero a range in place (tmpfs), where zeros are
# written out; a client that wants only a fast way gets ENOTSUP.
. "$(dirname "$0")/../support/functions.sh"

[ "$(stat --file-system --format=%T /dev/shm)" = tmpfs ] || skip "/dev/shm is no tmpfs"
image=$(mktemp /dev/shm/nbdcrypt-test.XXXXXX)
clean_up_test() {
    rm -f "$image"
}
make_pattern "$image" 8M
start_nbdcrypt --raw "$image"
python - "$uri" "$image" <<'EOF'
import sys
from nbd_client import *

before = open(sys.argv[2], "rb").read()
with Client(sys.argv[1]) as client:
    equal("FAST_ZERO with NO_HOLE", client.error_of(CMD_WRITE_ZEROES, 4096, 8192, F_NO_HOLE | F_FAST_ZERO), ENOTSUP)
    equal("nothing was touched", client.read(0, 65536), before[:65536])
    for flags in F_NO_HOLE, F_NO_HOLE | F_FUA, 0:
        for offset, length in (4096, 8192), (100001, 1), (1000003, 777777), (3 << 20, 4 << 20):
            equal("error", client.error_of(CMD_WRITE_ZEROES, offset, length, flags), 0)
            equal("zeros", client.read(offset, length), bytes(length))
            equal("the byte before", client.read(offset - 1, 1), before[offset - 1:offset])
            end = offset + length
            equal("the byte behind", client.read(end, 1), before[end:end + 1])
            client.write(offset, before[offset:end])
EOF
stop_nbdcrypt
