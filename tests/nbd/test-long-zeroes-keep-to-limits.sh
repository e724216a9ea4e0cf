#!/bin/bash
# The zeros of a long WRITE_ZEROES that are written out keep to a limit one by one: it takes its time, another client of the
# export has its turn meanwhile and right after it, a limit that goes sets it free, and SIGTERM does not wait for the limit.
. "$(dirname "$0")/../support/functions.sh"

requires cryptsetup --version
image=$(temp_file) control=$(temp_socket)
format_luks2 "$image" 192M --sector-size 4096
start_nbdcrypt --control "$control" --key-file "$passphrase" --limit-write-bandwidth 16M --name vm "$image"
python - "$uri" <<'EOF'
import sys
import time
from nbd_client import *

MIB = 1 << 20
with Client(sys.argv[1]) as long, Client(sys.argv[1]) as other:
    begun = time.monotonic()
    zeroes = long.send(CMD_WRITE_ZEROES, 0, 32 * MIB)
    slowest, count = 0, 0
    while time.monotonic() < begun + 1:
        before = time.monotonic()
        other.write(100 * MIB, b"B" * 4096)
        slowest, count = max(slowest, time.monotonic() - before), count + 1
    equal("reply", long.receive().check().cookie, zeroes)
    took = time.monotonic() - begun
    before = time.monotonic()
    other.write(100 * MIB, b"C" * 4096)
    after = time.monotonic() - before
    print(f"32 MiB took {took:.2f} s; another's writes: {count}, at most {slowest:.2f} s, right after it {after:.2f} s")
    assert 1.7 < took < 10, took
    assert count >= 5 and slowest < 1 and after < 1, (count, slowest, after)
EOF
python - "$uri" "$NBDCRYPT" "$control" "$pid" <<'EOF'
import os
import signal
import subprocess
import sys
import time
from nbd_client import *

uri, nbdcrypt, control, pid = sys.argv[1:]
MIB = 1 << 20


def limit(text):
    subprocess.run([nbdcrypt, "ctl", "--socket", control, "limits", "vm", f"limit-write-bandwidth={text}"], check=True,
                   stdout=subprocess.DEVNULL)


client = Client(uri)
limit("256K")
begun = time.monotonic()
zeroes = client.send(CMD_WRITE_ZEROES, 0, 128 * MIB)
client.read(150 * MIB, 512)
limit("off")
equal("reply", client.receive().check().cookie, zeroes)
assert time.monotonic() < begun + 60, "it kept to a limit that is gone"
limit("256K")
client.send(CMD_WRITE_ZEROES, 0, 128 * MIB)
client.read(150 * MIB, 512)
os.kill(int(pid), signal.SIGTERM)
equal("reply", client.receive().check().error, 0)
EOF
wait "$pid" || fail "the server did not end well"
