#!/bin/bash
# Whatever arrives on the port that is not NBD ends its own connection alone.
. "$(dirname "$0")/../support/functions.sh"

start_nbdcrypt --raw --listen 127.0.0.1:0 memory:1M
python - "$uri" <<'EOF'
import random
import sys
from nbd_client import *

uri = sys.argv[1]
witness = Client(uri)
chance = random.Random(11)
garbage = [b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
           b"\0" * 65536, b"\xff" * 65536, b"SSH-2.0-OpenSSH_9.2\r\n", b"NBDMAGIC" * 100]
garbage += [chance.randbytes(chance.randrange(1, 20000)) for _ in range(60)]
# The start of an honest client, and then garbage.
garbage += [b"\0\0\0\3IHAVEOPT" + chance.randbytes(100) for _ in range(60)]
for data in garbage:
    stream, _ = connect(uri, timeout_s=20)
    try:
        stream.sendall(data)
        stream.shutdown(1)
        while stream.recv(65536):
            pass
    except OSError:  # it hung up already
        pass
    stream.close()
    equal("the witness's read", witness.read(0, 512), bytes(512))
witness.disconnect()
EOF
stop_nbdcrypt
