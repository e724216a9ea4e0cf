#!/bin/bash
# What is written to a LUKS1 volume through nbdcrypt, QEMU's own driver reads back.
. "$(dirname "$0")/functions.sh"

requires cryptsetup --version
requires nbdcopy --version
requires qemu-img --version
plain=$(temp_file) image=$(temp_file) copy=$(temp_file)
make_pattern "$plain" 8M 1
encrypt_to_luks1 "$plain" "$image"
make_pattern "$plain" 8M 2
start_nbdcrypt --key-file "$passphrase" "$image"
nbdcopy --flush "$plain" "$uri"
stop_nbdcrypt
expect_same_for_qemu_luks "$plain" "$image"
qemu_img convert --image-opts "$(qemu_luks "$image")" -O raw "$copy"
cmp "$plain" "$copy"

# And in a volume that QEMU made, by odd pieces.
make_pattern "$plain" 4M 3
encrypt_to_qemu_luks "$plain" "$image"
start_nbdcrypt --key-file "$passphrase" "$image"
make_pattern "$copy" 1M 4
python - "$uri" "$copy" "$plain" <<'EOF'
import random
import sys
from nbd_client import Client

uri, piece_file, plain_file = sys.argv[1:]
source = open(piece_file, "rb").read()
chance = random.Random(5)
with Client(uri) as client, open(plain_file, "r+b") as plain:
    for _ in range(100):
        length = chance.choice((1, 100, 511, 512, 513, 4095, 4096, 12345, 200000))
        start = chance.randrange(client.size - length)
        taken = chance.randrange(len(source) - length)
        client.write(start, source[taken:taken + length])
        plain.seek(start)
        plain.write(source[taken:taken + length])
    client.flush()
EOF
stop_nbdcrypt
expect_same_for_qemu_luks "$plain" "$image"
