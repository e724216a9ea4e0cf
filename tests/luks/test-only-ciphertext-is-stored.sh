#!/bin/bash
# Nothing of what clients write to a LUKS volume can be found in the image, whatever the size of the write;
# behind the sectors that were written the image is untouched.
. "$(dirname "$0")/../support/functions.sh"

requires cryptsetup --version
image=$(temp_file)
truncate --size=32M "$image"
cryptsetup_quietly luksFormat --type luks2 --sector-size 4096 "${fast_pbkdf[@]}" "$image"
start_nbdcrypt --key-file "$passphrase" "$image"
python - "$uri" <<'EOF'
import sys
from nbd_client import Client, F_NO_HOLE

marker = b"THE PLAIN TEXT! "
with Client(sys.argv[1]) as client:
    client.write(0, marker * 65536)              # 1 MiB
    client.write(2000001, marker * 3)            # inside a sector
    client.write(3000000, marker * 1000)         # across sectors
    client.write(4194304, marker * 256, 1)       # FUA
    client.write_zeroes(5242880, 1048576)
    client.write_zeroes(6291456, 1048576, F_NO_HOLE)
    client.flush()
EOF
stop_nbdcrypt
if grep -qaF 'PLAIN TEXT' "$image"; then
    fail "plaintext was found in the image"
fi
python - "$image" <<'EOF'
import sys

MIB = 1 << 20
payload = open(sys.argv[1], "rb").read()[16 * MIB:]
for start, length, what in ((0, MIB, "written"), (5 * MIB, 2 * MIB, "zeroed through us")):
    for at in range(start, start + length, 4096):
        if payload[at:at + 4096].count(0) > 200:
            raise SystemExit(f"payload at {at}, {what}: this is not ciphertext")
if any(payload[8 * MIB:]):
    raise SystemExit("something was written where no client wrote")
EOF
