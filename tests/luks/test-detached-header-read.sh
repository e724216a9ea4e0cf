#!/bin/bash
# With --header the header comes from another file, and the image is payload from its first byte.
. "$(dirname "$0")/../support/functions.sh"

requires cryptsetup --version
requires nbdcopy --version
requires qemu-img --version

# The payload of an ordinary volume, and its header alone.
plain=$(temp_file) whole=$(temp_file) payload=$(temp_file) header=$(temp_file)
make_pattern "$plain" 4M
encrypt_to_luks2 "$plain" "$whole" --sector-size 4096
tail --bytes=4M "$whole" >"$payload"
rm "$header"
cryptsetup_quietly luksHeaderBackup --header-backup-file "$header" "$whole"
chmod 600 "$header"
python - "$header" <<'EOF'
import sys
import luks_image


def start_at_zero(document):
    document["segments"]["0"]["offset"] = "0"


luks_image.change_luks2_json(sys.argv[1], start_at_zero)
EOF

before=$(sha256_of "$header")$(sha256_of "$payload")
start_nbdcrypt --key-file "$passphrase" --header "$header" "$payload"
expect_image "$plain" "$uri"
stop_nbdcrypt
expect_equal "checksums after reading" "$before" "$(sha256_of "$header")$(sha256_of "$payload")"

# The header stays where it is when the payload is written.
start_nbdcrypt --key-file "$passphrase" --header "$header" "$payload"
make_pattern "$plain" 4M 2
nbdcopy "$plain" "$uri"
expect_image "$plain" "$uri"
stop_nbdcrypt
[ "$(sha256_of "$header")" = "${before:0:64}" ] || fail "the header has changed"
[ "$(sha256_of "$payload")" != "${before:64}" ] || fail "the payload has not changed"
