#!/bin/bash
# Volumes that `nbdcrypt format` makes are what was asked for, in cryptsetup's eyes, and open with the passphrase
# and no other.
. "$(dirname "$0")/../support/functions.sh"

requires cryptsetup --version
requires_python_module cryptography
requires nbdinfo --version
wrong=$(temp_file)
printf 'another elephant' >"$wrong"

opens_with() {
    cryptsetup open --disable-locks --test-passphrase --key-file "$1" "$2" >>"$log_dir/cryptsetup" 2>&1
}

# try_format SECTOR-SIZE KEY-BITS OPTION...
try_format() {
    local sector_size=$1 key_bits=$2 image=$test_dir/volume dump=$test_dir/dump

    shift 2
    rm -f "$image"
    expect_success format --key-file "$passphrase" --size 1M --sector-size "$sector_size" \
        --key-bits "$key_bits" "$@" "$image"
    cryptsetup luksDump --disable-locks "$image" >"$dump"
    expect_match "$dump" '^Version:[[:space:]]+2$'
    expect_match "$dump" 'cipher: aes-xts-plain64$'
    expect_match "$dump" "sector: $sector_size \\[bytes\\]\$"
    expect_match "$dump" "Cipher key: $key_bits bits\$"
    opens_with "$passphrase" "$image" || fail "cryptsetup can't open it"
    if opens_with "$wrong" "$image"; then
        fail "it opens with another passphrase"
    fi

    # And we serve it; what we write decrypts.
    start_nbdcrypt --key-file "$passphrase" "$image"
    expect_equal "size" 1048576 "$(nbdinfo --size "$uri")"
    python - "$uri" <<'EOF'
import sys
from nbd_client import *

with Client(sys.argv[1]) as client:
    client.write(0, b"format" * 10000)
    client.flush()
EOF
    stop_nbdcrypt
    python - "$image" "$passphrase" <<'EOF'
import sys
from luks_image import LuksImage
from nbd_client import equal

equal("payload", LuksImage(*sys.argv[1:]).read(0, 57344), (b"format" * 10000)[:57344])
EOF
}

fast=(--pbkdf pbkdf2 --pbkdf-iterations 1000)
try_format 512 512 "${fast[@]}"
try_format 1024 256 "${fast[@]}"
try_format 2048 512 "${fast[@]}"
try_format 4096 256 "${fast[@]}" --label 'my label' --subsystem 'my subsystem' --uuid 12345678-1234-4321-8765-123456789abc
expect_match "$test_dir/dump" '^Label:[[:space:]]+my label$'
expect_match "$test_dir/dump" '^Subsystem:[[:space:]]+my subsystem$'
expect_match "$test_dir/dump" '^UUID:[[:space:]]+12345678-1234-4321-8765-123456789abc$'
expect_match "$test_dir/dump" 'PBKDF: +pbkdf2$'
expect_match "$test_dir/dump" 'Iterations: 1000$'
try_format 4096 512 --pbkdf argon2id --pbkdf-iterations 4 --pbkdf-memory-kib 32768
expect_match "$test_dir/dump" 'PBKDF: +argon2id$'
expect_match "$test_dir/dump" 'Time cost: +4$'
expect_match "$test_dir/dump" 'Memory: +32768$'
try_format 4096 512 --pbkdf argon2i --pbkdf-iterations 4 --pbkdf-memory-kib 32768
expect_match "$test_dir/dump" 'PBKDF: +argon2i$'
