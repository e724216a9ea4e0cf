#!/bin/bash
# Clients are told the block sizes that an image has, with the sectors of a LUKS2 volume as the preferred ones, and its
# description; --block-size tells them others, for one export or all, and what can't be is refused with the reason. Requests
# that do not keep to them are done all the same, as QEMU's server and nbdkit do.
. "$(dirname "$0")/../support/functions.sh"

requires cryptsetup --version

# expect_sizes MIN PREFERRED MAX: of the export at $uri.
expect_sizes() {
    python "$source_dir/tests/nbd/block-sizes-are-told.py" "$uri" "$@" </dev/null
}

image=$(temp_file) other=$(temp_file)
truncate --size=16M "$image" "$other"
block=$(stat --format=%o "$image")
start_nbdcrypt --raw "$image"
expect_sizes 1 $((block > 4096 ? block : 4096)) 33554432
stop_nbdcrypt
start_nbdcrypt --raw --block-size 4096 "$image"
expect_sizes 4096 $((block > 4096 ? block : 4096)) 33554432
stop_nbdcrypt
start_nbdcrypt --raw --block-size 64K "$image"
expect_sizes 65536 65536 33554432
stop_nbdcrypt
start_nbdcrypt --raw --block-size 1K --export "a=$image,block-size=512/8K/1M,description=of one" --export "b=$other"
expect_sizes 512 8192 1048576
python - "$uri" <<'EOF'
import sys
from nbd_client import *

client = Client(sys.argv[1], handshake=False)
client.send_client_flags()
client.go([INFO_BLOCK_SIZE, INFO_DESCRIPTION, INFO_NAME], OPT_INFO, "a")
equal("description", client.infos[INFO_DESCRIPTION][:], b"of one")
equal("name", client.infos[INFO_NAME][:], b"a")
client.go([INFO_BLOCK_SIZE, INFO_DESCRIPTION], OPT_INFO, "b")
equal("least block of the other one", client.block_sizes()[0], 1024)
equal("its description", INFO_DESCRIPTION in client.infos, False)
EOF
stop_nbdcrypt
for sector in 512 4096; do
    format_luks2 "$image" 16M --sector-size $sector
    start_nbdcrypt --key-file "$passphrase" "$image"
    python - "$uri" <<'EOF'
import sys
from nbd_client import *

with Client(sys.argv[1]) as client:
    least, preferred, most = client.block_sizes()
    if least != 1 or preferred < 4096 or most != 32 << 20:
        raise AssertionError((least, preferred, most))
EOF
    stop_nbdcrypt
    start_nbdcrypt --key-file "$passphrase" --block-size 16K/64K "$image"
    expect_sizes 16384 65536 33554432
    stop_nbdcrypt
done

for wrong in 3 0 128K 4096/512 512/1000 4K/8K/4K 512/4K/64M 1/512/4K/8K x '' 4096/ 1//2; do
    run_nbdcrypt serve --raw --unix "$test_dir/socket" --block-size "$wrong" "$other"
    expect_equal "status of --block-size '$wrong'" 2 "$status"
    expect_match "$err" 'block-size'
done
truncate --size=1000000 "$other"
run_nbdcrypt serve --raw --unix "$test_dir/socket" --block-size 4096 "$other"
expect_equal "status" 1 "$status"
expect_match "$err" 'its 1000000 bytes are no multiple of the 4096 bytes of block-size'
