#!/bin/bash
# FUA that an export does not offer is refused on every command, whatever is below: a client that sets it all the same must
# not believe that its write is durable.  Where FUA is offered without FLUSH, it is honoured.
. "$(dirname "$0")/../support/functions.sh"

requires cryptsetup --version

# start_remote FLAGS: a server that says so of itself.  Sets $remote.
start_remote() {
    local path

    path=$(temp_socket)
    mkfifo "$path.ready"
    "$PYTHON" "$support_dir/nbd_server.py" "$path" "$1" "flags=$2" >"$path.ready" 2>"$log_dir/remote" &
    remember_pid $!
    read -r -t 60 _ <"$path.ready" || fail "the remote server did not start"
    remote="nbd+unix:///?socket=$path"
}

refused() {
    python "$source_dir/tests/nbd/fua-not-offered-refused.py" "$uri" </dev/null
}

disk=$(temp_file)
truncate --size=32M "$disk"
neither=$((1 | 64)) fua_alone=$((1 | 8 | 64)) # has flags, WRITE_ZEROES
start_remote "$disk" $neither
start_nbdcrypt --raw "$remote"
refused
stop_nbdcrypt

cryptsetup_quietly luksFormat --type luks2 "${fast_pbkdf[@]}" --sector-size 4096 "$disk"
start_remote "$disk" $neither
start_nbdcrypt --key-file "$passphrase" "$remote"
refused
stop_nbdcrypt

# The remote keeps in memory what is neither flushed nor written with FUA.
truncate --size=0 "$disk"
truncate --size=1M "$disk"
start_remote "$disk" $fua_alone
start_nbdcrypt --raw "$remote"
python - "$uri" <<'PYTHON_END'
import sys
from nbd_client import *

with Client(sys.argv[1]) as client:
    equal("FUA and FLUSH", client.flags & (TF_FUA | TF_FLUSH), TF_FUA)
    client.write(4096, b"without owls" * 128)
    client.write(0, b"owl" * 512, F_FUA)
    equal("FLUSH", client.error_of(CMD_FLUSH), EINVAL)
    client.disconnect()
PYTHON_END
expect_equal "what was written with FUA" owl "$(head -c 3 "$disk")"
stop_nbdcrypt
