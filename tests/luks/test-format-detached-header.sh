#!/bin/bash
# `nbdcrypt format --header` keeps the header in a file of its own; the image is data from its first byte.
. "$(dirname "$0")/../support/functions.sh"

requires cryptsetup --version
requires nbdcopy --version
requires_python_module cryptography
plain=$(temp_file) image=$test_dir/image header=$test_dir/header
make_pattern "$plain" 2M
expect_success format --key-file "$passphrase" --pbkdf pbkdf2 --pbkdf-iterations 1000 --size 2M \
    --header "$header" "$image"
expect_equal "size of the image" $((2 << 20)) "$(size_of "$image")"
cryptsetup_quietly open --test-passphrase --header "$header" "$image"
start_nbdcrypt --key-file "$passphrase" --header "$header" "$image"
nbdcopy --flush "$plain" "$uri"
stop_nbdcrypt
python - "$image" "$passphrase" "$header" "$plain" <<'EOF'
import sys
from luks_image import LuksImage
from nbd_client import equal

image = LuksImage(*sys.argv[1:4])
plain = open(sys.argv[4], "rb").read()
equal("payload offset", image.payload_offset, 0)
equal("payload", image.read(0, len(plain)), plain)
EOF

# What it says at the end is a command that a shell takes as it is meant.
tricky="$test_dir/a b&c'd"
expect_success format --key-file "$passphrase" --pbkdf pbkdf2 --pbkdf-iterations 1000 --size 1M \
    --header "$tricky.header" "$tricky"
serve=$(sed -n 's/^Serve it: *nbdcrypt //p' "$out")
expect_equal "the command" "serve|--key-file|$passphrase|--header|$tricky.header|$tricky|" \
    "$(bash -c "printf '%s|' $serve")"

# Without its header it is noise.
expect_failure 1 "image '$image': no LUKS header found: if the header is apart, name it by --header" info "$image"
