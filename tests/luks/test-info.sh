#!/bin/bash
# `nbdcrypt info` tells, as text and as JSON, what cryptsetup says of the same volume; it needs no key and changes
# nothing.
. "$(dirname "$0")/../support/functions.sh"

requires cryptsetup --version

# expect_json FILE < lines of KEY VALUE: a key is a path such as keyslots.0.pbkdf.type, a value is JSON.
expect_json() {
    python "$support_dir/expect-json.py" "$1"
}

image=$(temp_file)
uuid=12345678-1234-4321-8765-123456789abc
format_luks2 "$image" 1M --sector-size 4096 --uuid $uuid --label 'a label' --subsystem 'a subsystem'
before=$(sha256_of "$image")
expect_success info --json "$image"
expect_json "$out" <<EOF
type "luks2"
uuid "$uuid"
label "a label"
subsystem "a subsystem"
cipher "aes-xts-plain64"
key-bits 512
sector-size 4096
payload-offset 16777216
size 1048576
iv-offset 0
detached false
damaged-header-copy null
flags []
keyslots.0.slot 0
keyslots.0.priority "normal"
keyslots.0.key-bits 512
keyslots.0.volume-key true
keyslots.0.cipher "aes-xts-plain64"
keyslots.0.pbkdf.type "pbkdf2"
keyslots.0.pbkdf.hash "sha256"
keyslots.0.pbkdf.iterations 1000
tokens []
EOF
expect_success info "$image"
expect_message "$out" "UUID:            $uuid"
expect_message "$out" "Label:           a label"
expect_message "$out" "Cipher:          aes-xts-plain64, 512-bit key"
expect_message "$out" "Sector size:     4096 bytes"
expect_match "$out" '^Keyslot 0: +pbkdf2'

second=$(temp_file)
printf 'another' >"$second"
cryptsetup_quietly luksAddKey --pbkdf argon2id --pbkdf-force-iterations 4 --pbkdf-memory 32768 \
    --pbkdf-parallel 1 --new-key-slot 5 "$image" "$second"
before=$(sha256_of "$image")
expect_success info --json "$image"
expect_json "$out" <<'EOF'
keyslots.1.slot 5
keyslots.1.pbkdf.type "argon2id"
keyslots.1.pbkdf.time 4
keyslots.1.pbkdf.memory-kib 32768
keyslots.1.pbkdf.cpus 1
EOF

truncate --size=0 "$second" && truncate --size=3M "$second"
cryptsetup_quietly luksFormat --type luks1 --pbkdf-force-iterations 1000 --key-size 256 --uuid $uuid "$second"
expect_success info --json "$second"
expect_json "$out" <<EOF
type "luks1"
uuid "$uuid"
label null
cipher "aes-xts-plain64"
key-bits 256
sector-size 512
payload-offset 2097152
size 1048576
keyslots.0.slot 0
keyslots.0.pbkdf.type "pbkdf2"
keyslots.0.pbkdf.iterations 1000
EOF

header=$test_dir/header
cryptsetup_quietly luksHeaderBackup --header-backup-file "$header" "$image"
expect_equal "checksum" "$before" "$(sha256_of "$image")"

# No secret in it: neither the volume key nor the passphrase, in hexadecimal or as they are.
python - "$image" "$passphrase" "$NBDCRYPT" <<'EOF'
import base64
import subprocess
import sys
import luks_image

image, passphrase, program = sys.argv[1:]
output = b"".join(subprocess.run([program, "info", *options, image], stdout=subprocess.PIPE,
                                 check=True).stdout for options in ((), ("--json",)))
for secret in (luks_image.dump_volume_key(image, passphrase), open(passphrase, "rb").read()):
    for form in (secret, secret.hex().encode(), base64.b64encode(secret), secret[:16],
                 secret[:16].hex().encode()):
        if form in output:
            raise SystemExit("a secret was printed")
EOF
