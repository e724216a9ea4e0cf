# shellcheck shell=bash
# shellcheck disable=SC2154 # what functions.sh sets
# What the tests of LUKS volumes share, one for each kind of volume; functions.sh comes first.

# volume_reads ENCRYPT...: a volume that `ENCRYPT PLAIN IMAGE ...` makes (see encrypt_to_luks1 and
# encrypt_to_luks2) reads as what was put in, and reading leaves it as it is.
volume_reads() {
    local encrypt=$1 plain image before

    shift
    requires cryptsetup --version
    requires nbdcopy --version
    requires qemu-img --version
    plain=$(temp_file) image=$(temp_file)
    make_pattern "$plain" 4M
    "$encrypt" "$plain" "$image" "$@"
    before=$(sha256_of "$image")
    start_nbdcrypt --key-file "$passphrase" "$image"
    expect_image "$plain" "$uri"
    stop_nbdcrypt
    expect_equal "checksum of the image after reading" "$before" "$(sha256_of "$image")"
}

# luks2_writes SECTOR-SIZE: what is written to a LUKS2 volume decrypts, with the volume key that cryptsetup
# dumps and an independent implementation of XTS, to what was written.
luks2_writes() {
    local sector_size=$1 plain image

    requires cryptsetup --version
    requires nbdcopy --version
    requires_python_module cryptography
    plain=$(temp_file) image=$(temp_file)
    make_pattern "$plain" 2M 1
    encrypt_to_luks2 "$plain" "$image" --sector-size "$sector_size"
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
    python - "$image" "$passphrase" "$plain" "$sector_size" <<'EOF'
import sys
from luks_image import LuksImage
from nbd_client import equal

image = LuksImage(sys.argv[1], sys.argv[2])
plain = open(sys.argv[3], "rb").read()
equal("sector size", image.sector_bytes, int(sys.argv[4]))
equal("decrypted payload", image.read(0, len(plain)), plain)
EOF
}
