#!/bin/bash
# Bytes that nobody changes read as they are while others of their block are being changed, whatever the cipher's mode makes
# of a block of which one half is older than the other.
. "$(dirname "$0")/../support/functions.sh"

requires cryptsetup --version

# hammer NAME: two clients write the first bytes of a sector of 4096 over and over, two read the others.
hammer() {
    python - "$uri" <<'EOF'
import multiprocessing
import os
import sys
import time
from nbd_client import *

SECONDS, DEPTH = 4, 16
uri = sys.argv[1]
pattern = os.urandom(4096)
with Client(uri) as client:
    client.write(0, pattern)
    client.write(4096, pattern)
end = time.monotonic() + SECONDS


def write(length):
    with Client(uri, structured=False) as client:
        while time.monotonic() < end:
            client.write(0, os.urandom(length))


def read(offset, length):
    wrong = count = 0
    with Client(uri, structured=False) as client:
        while time.monotonic() < end and not wrong:
            for _ in range(DEPTH):
                client.send(CMD_READ, offset, length)
            for _ in range(DEPTH):
                count += 1
                wrong += client.receive().check().data != pattern[offset:offset + length]
    print(f"{count} reads, {wrong} wrong")
    sys.exit(wrong > 0 or count == 0)


tasks = [multiprocessing.Process(target=work, args=arguments) for work, arguments in
         ((write, (2056,)), (write, (100,)), (read, (2064, 2000)), (read, (2800, 64)))]
for task in tasks:
    task.start()
for task in tasks:
    task.join()
if any(task.exitcode for task in tasks):
    raise SystemExit("somebody read what nobody wrote")
with Client(uri) as client:
    equal("what is there in the end", client.read(2064, 2032), pattern[2064:])
EOF
}

image=$(temp_file)
for cipher in aes-cbc-essiv:sha256 aes-xts-plain64; do
    format_luks2 "$image" 1M --sector-size 4096 --cipher "$cipher"
    start_nbdcrypt --key-file "$passphrase" --threads 4 "$image"
    hammer
    stop_nbdcrypt
done
