#!/bin/bash
# Behind 2 TiB the sector number no longer fits in 32 bits; plain64 must not wrap.
. "$(dirname "$0")/../support/functions.sh"

requires cryptsetup --version
requires_python_module cryptography

# beyond_2_tib SECTOR-SIZE: a sparse volume of 3 TiB, of which a few sectors are used.
beyond_2_tib() {
    local image

    image=$(temp_file)
    truncate --size=3T "$image" || skip "no files of 3 TiB in $test_dir"
    cryptsetup_quietly luksFormat --type luks2 --sector-size "$1" "${fast_pbkdf[@]}" "$image"
    start_nbdcrypt --key-file "$passphrase" "$image"
    python - "$uri" "$image" "$passphrase" <<'EOF'
import sys
from luks_image import LuksImage
from nbd_client import Client, equal

uri, image, passphrase = sys.argv[1:]
TIB = 1 << 40
LENGTH = 8192
image = LuksImage(image, passphrase)
client = Client(uri)
equal("size", client.size, 3 * TIB - image.payload_offset)
places = (0, 2 * TIB - LENGTH // 2, 5 * TIB // 2, client.size - LENGTH)
for number, place in enumerate(places):
    client.write(place, bytes([number + 1]) * LENGTH)
client.flush()
for number, place in enumerate(places):
    expected = bytes([number + 1]) * LENGTH
    equal(f"read at {place}", client.read(place, LENGTH), expected)
    equal(f"decrypted at {place}", image.read(place, LENGTH), expected)

# The other way round: encrypted by somebody else, also in the middle of a sector.
image.write(5 * TIB // 2, b"\x77" * LENGTH)
equal("read of a foreign write", client.read(5 * TIB // 2 + 100, 5000), b"\x77" * 5000)
client.write(5 * TIB // 2 + 1000, b"\x88" * 3)
expected = b"\x77" * 1000 + b"\x88" * 3 + b"\x77" * (LENGTH - 1003)
client.flush()
equal("decrypted after an odd write", image.read(5 * TIB // 2, LENGTH), expected)
client.disconnect()
EOF
    stop_nbdcrypt
    rm "$image"
}

beyond_2_tib 512
beyond_2_tib 4096
