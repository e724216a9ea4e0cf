#!/bin/bash
# Without --raw a qcow2 image is found by what it begins with, and served if its disk is encrypted, by QEMU or by LUKS on it; one
# that is not encrypted is refused by a sentence that says what to name.  Under --raw, with a detached header, in a part of a disk
# and for a pinned volume nothing is looked for: what a guest has written makes no disk another one.
. "$(dirname "$0")/../support/functions.sh"

requires qemu-img --version
requires nbdcopy --version
cd "$test_dir"
never=$(temp_socket)
key=(--key-file "$passphrase")
make_pattern plain 1M
encrypt_by_nbdcrypt plain volume
qemu_img convert -f raw -O qcow2 volume volume.qcow2
qemu_img convert -f raw -O qcow2 plain plain.qcow2

# expect_served EXPECTED OPTION...
expect_served() {
    start_nbdcrypt "${@:2}"
    nbdcopy "$uri" copy
    stop_nbdcrypt
    cmp "$1" copy || fail "something else than $1 is served: ${*:2}"
}

# ---- found ----

expect_served plain "${key[@]}" volume.qcow2
refused="it is a qcow2 image, and the disk in it is not encrypted; if that is meant, name it"
expect_failure 1 "image 'plain.qcow2': $refused 'plain.qcow2?format=qcow2', which --raw serves as it is, for reading, and \
nbdcrypt info shows" serve --unix "$never" "${key[@]}" plain.qcow2
expect_served plain --raw 'plain.qcow2?format=qcow2'
digest=$("$NBDCRYPT" info --json volume | "$PYTHON" -c 'import json, sys; print(json.load(sys.stdin)["header-digest"])')
run_nbdcrypt serve --unix "$never" "${key[@]}" --header-digest "$digest" volume.qcow2
expect_equal "exit status of a pinned volume" 1 "$status"
expect_match "$err" "image 'volume.qcow2': no LUKS header found: it holds a QEMU qcow2 image; with \?format=qcow2"
expect_served plain "${key[@]}" --header-digest "$digest" 'volume.qcow2?format=qcow2'

# What a configuration is said to do is what the server does.
cat >config <<END
[server]
unix = $(temp_socket)
[export found]
image = $test_dir/volume.qcow2
key-file = $passphrase
END
run_nbdcrypt check --config config --open
expect_equal "exit status of config check: $(cat "$err")" 0 "$status"
qemu-img create -q --object "secret,id=key,file=$passphrase" -f qcow2 -o encrypt.format=aes,encrypt.key-secret=key aes.qcow2 1M
sed -i 's/volume.qcow2/aes.qcow2/' config
expect_success check --config config --open
expect_success check --config config --open --json
sed -i 's/aes.qcow2/plain.qcow2/' config
run_nbdcrypt check --config config --open
expect_equal "exit status of config check with a disk in clear" 1 "$status"
expect_match "$err" "plain.qcow2': $refused"

# ---- not looked for ----

expect_served plain.qcow2 --raw plain.qcow2
expect_served volume.qcow2 --raw 'volume.qcow2?format=raw'
start_nbdcrypt --raw plain.qcow2
python - "$uri" <<'END'
import sys
from nbd_client import *

# A guest makes its own disk look like an image that names another file.
with Client(sys.argv[1]) as client:
    client.write(0, b"QFI\xfb")
    client.flush()
END
stop_nbdcrypt
expect_served plain.qcow2 --raw plain.qcow2

# A guest writes the same through a volume: whatever is at its start on the storage is ciphertext.
run_nbdcrypt format "${key[@]}" --pbkdf pbkdf2 --pbkdf-iterations 1000 --header header --size 4M data
expect_equal "exit status of format: $(cat "$err")" 0 "$status"
start_nbdcrypt "${key[@]}" --header header data
nbdcopy --flush plain.qcow2 "$uri"
stop_nbdcrypt
expect_equal "what the storage begins with" other "$([ "$(head -c 4 data)" = "$(printf 'QFI\373')" ] && echo same || echo other)"
truncate --size=4M plain.qcow2
start_nbdcrypt "${key[@]}" --header header data
nbdcopy "$uri" copy
stop_nbdcrypt
cmp --bytes=1048576 plain.qcow2 copy || fail "the volume has been taken for another format"
# A data file that looks like an image, beside its header, is the volume's ciphertext.
qemu_img create -f qcow2 data.qcow2 64M
truncate --size=4M data.qcow2
run_nbdcrypt serve --unix "$never" "${key[@]}" --header header --run true data.qcow2
expect_equal "exit status beside a header: $(cat "$err")" 0 "$status"
# In a part of a disk.
truncate --size=8M whole
dd if=volume.qcow2 of=whole bs=1M seek=1 count=1 conv=notrunc status=none
run_nbdcrypt serve --unix "$never" "${key[@]}" 'whole?offset=1M&size=4M'
expect_equal "exit status of a part" 1 "$status"
expect_match "$err" "no LUKS header found: it holds a QEMU qcow2 image"
