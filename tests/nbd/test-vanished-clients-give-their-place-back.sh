#!/bin/bash
# Clients whose machine vanishes without a word, idle ones and those that have a reply on its way, are noticed by the
# kernel within --stall-timeout, and their descriptors are back.
. "$(dirname "$0")/../support/functions.sh"

# A network of its own, whose only link can be taken away.
if [ -z "${TEST_HAS_NETWORK-}" ]; then
    own_network=(unshare --net)
    "${own_network[@]}" true 2>/dev/null || own_network=(unshare --map-root-user --net)
    requires "${own_network[@]}" ip link set lo up
    TEST_HAS_NETWORK=1 "${own_network[@]}" bash "$0" "$@"
    exit
fi
ip link set lo up
NBDCRYPT_ALLOW_CORE=1 start_nbdcrypt --stall-timeout 10 --listen 127.0.0.1:0 --raw memory:1M
python "$source_dir/tests/nbd/vanished-clients-give-their-place-back.py" "$uri" "$pid" </dev/null
ip link set lo up
stop_nbdcrypt
