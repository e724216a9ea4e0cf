#!/bin/bash
# What is written to a LUKS2 volume with 512-byte sectors decrypts, with the volume key that cryptsetup dumps
# and an independent implementation of XTS, to what was written.
. "$(dirname "$0")/functions.sh"

requires cryptsetup --version
requires nbdcopy --version
requires_python_module cryptography
plain=$(temp_file) image=$(temp_file)
make_pattern "$plain" 2M 1
encrypt_to_luks2 "$plain" "$image" --sector-size 512
make_pattern "$plain" 2M 2
start_nbdcrypt --key-file "$passphrase" "$image"
nbdcopy --flush "$plain" "$uri"
# A few odd pieces, which go through read-modify-write.
python - "$uri" "$plain" <<'EOF'
import sys
from nbd_client import Client

with Client(sys.argv[1]) as client, open(sys.argv[2], "r+b") as plain:
    for start, length in ((1, 1), (511, 2), (4095, 4098), (100000, 70001), (client.size - 3, 3)):
        data = bytes((start + i) % 251 for i in range(length))
        client.write(start, data)
        plain.seek(start)
        plain.write(data)
    client.flush()
EOF
stop_nbdcrypt
python - "$image" "$passphrase" "$plain" <<'EOF'
import sys
from luks_image import LuksImage
from nbd_client import equal

image = LuksImage(sys.argv[1], sys.argv[2])
plain = open(sys.argv[3], "rb").read()
equal("sector size", image.sector_bytes, 512)
equal("decrypted payload", image.read(0, len(plain)), plain)
EOF
