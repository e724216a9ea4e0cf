#!/bin/bash
# A raw file whose length is no multiple of anything is served to its last byte.
. "$(dirname "$0")/../support/functions.sh"

requires nbdcopy --version
requires qemu-img --version

plain=$(temp_file) image=$(temp_file)
make_pattern "$plain" 1000003
cp "$plain" "$image"
start_nbdcrypt --raw "$image"
python - "$uri" "$plain" <<'EOF'
import sys
from nbd_client import *

plain = bytearray(open(sys.argv[2], "rb").read())
with Client(sys.argv[1]) as client:
    equal("size", client.size, 1000003)
    equal("all of it", client.read(0, client.size), bytes(plain))
    client.write(999990, b"thirteen bits")
    equal("behind the end", client.error_of(CMD_WRITE, 999991, 13, 0, b"thirteen bits"), ENOSPC)
    client.write_zeroes(999000, 1003)
    plain[999000:] = bytes(1003)
    client.write(1000002, b"!")
    plain[1000002:] = b"!"
    client.flush()
open(sys.argv[2], "wb").write(plain)
EOF
stop_nbdcrypt
cmp "$plain" "$image"
