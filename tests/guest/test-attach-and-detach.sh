#!/bin/bash
# nbdcrypt attach in a guest: TLS by the kernel and by a process, over a killed server; what is in use is not detached,
# whoever uses it; whatever is wrong is a sentence; a server that is none of ours is used, with a word; nbdtab is kept.
. "$(dirname "$0")/../support/functions.sh"
. "$(dirname "$0")/../support/guest.sh"

guest_requires_attach
requires nbdkit --version
guest_add "$NBDCRYPT" /usr/bin/nbdcrypt
guest_add "$passphrase" /key
guest_add "$(command -v setpriv)" /usr/local/bin/setpriv
plugins=$(nbdkit --dump-config | sed -n 's/^plugindir=//p')
guest_add "$(command -v nbdkit)" /usr/bin/nbdkit
install "$plugins/nbdkit-memory-plugin.so" "$test_dir/plugin" # what is executable takes its libraries along
guest_add "$test_dir/plugin" /nbdkit-memory-plugin.so

cat >"$test_dir/script" <<'SCRIPT'
chmod 600 /key
start() {
    rm -f /ready
    nbdcrypt serve --control /control --listen 127.0.0.1:10809 --tls-certificates /pki/server --tls on --key-file /key \
        --export vm7=/disk --export 'odd name/ü=/disk2' >/ready 2>>/server.log &
    server=$!
    wait_for /ready "$server" /server.log
}
kill_server() {
    kill -9 "$server"
    wait "$server" 2>/dev/null || true
}
# refused SENTENCE COMMAND...
refused() {
    sentence=$1
    shift
    if "$@" >/out 2>/err; then
        echo "not refused: $*"
        exit 1
    fi
    if ! grep -qF -- "$sentence" /err; then
        echo "$*: expected '$sentence', and it said: $(cat /err)"
        exit 1
    fi
}
in_use() { refused "it is not detached: /dev/nbd0 is in use: $1" nbdcrypt detach vm7; }

for disk in /disk /disk2; do
    nbdcrypt format --pbkdf pbkdf2 --pbkdf-iterations 1000 --size 32M --key-file /key "$disk" >/dev/null
done
nbdcrypt tls init /pki --host localhost --client vm >/dev/null
tls='nbds://localhost/vm7?tls-certificates=/pki/clients/vm'

step "what is missing"
refused 'is the server running?' nbdcrypt attach nbd://localhost/vm7
refused 'no server answers at the control socket' nbdcrypt attach --socket /control vm7
rmmod nbd
refused 'load its module with `modprobe nbd`' nbdcrypt attach nbd://localhost/vm7
[ "$(nbdcrypt attached --json | tr -d '[:space:]')" = '[]' ]
insmod /modules/nbd.ko max_part=4
(sleep 1 && start && wait) &
nbdcrypt attach --wait 20 --socket /control --connections 1 vm7 >/device
until_so test -s /ready
nbdcrypt detach vm7
server=$(nbdcrypt ctl --socket /control --json status | sed -n 's/.*"pid": \([0-9]*\).*/\1/p')
refused "there is no export 'vm8'" nbdcrypt attach --socket /control vm8
refused "export 'vm8': there is no such export" nbdcrypt attach nbd://localhost/vm8
refused 'TLS with the server failed' nbdcrypt attach 'nbds://127.0.0.1/vm7?tls-certificates=/pki/clients/vm'

refused 'only root (CAP_SYS_ADMIN)' /usr/local/bin/setpriv --reuid 1000 --regid 1000 --clear-groups nbdcrypt attach nbd://localhost/vm7

step "in use"
nbdcrypt attach --socket /control vm7 /dev/nbd0 >/device
[ "$(cat /device)" = /dev/nbd0 ]
[ "$(readlink /dev/disk/by-nbd/vm7)" = ../../nbd0 ]
nbdcrypt attached --json | grep '"supervisor": [0-9]'
/usr/local/bin/setpriv --reuid 1000 --regid 1000 --clear-groups nbdcrypt attached --json >/seen
grep '"name": "vm7"' /seen
[ "$(grep -c supervisor /seen)" -eq 0 ]
refused "'vm7' is the name of /dev/nbd0 already, which is vm7" nbdcrypt attach "$tls"
refused "/dev/nbd0: it is in use already" nbdcrypt attach --name other "$tls" nbd0
refused "'vm7' is attached already, as /dev/nbd0" nbdcrypt attach --socket /control vm7 nbd3
mkfs.ext4 -q /dev/nbd0
mount /dev/nbd0 /mnt
in_use 'it is mounted at /mnt'
echo kept >/mnt/kept
umount /mnt
mkswap /dev/nbd0 >/dev/null
swapon /dev/nbd0
in_use 'this machine swaps to /dev/nbd0'
swapoff /dev/nbd0
exec 5</dev/nbd0
in_use 'process '
exec 5<&-
nbdcrypt detach /dev/disk/by-nbd/vm7
[ ! -e /dev/disk/by-nbd/vm7 ]
refused "nothing is attached under the name 'vm7'" nbdcrypt detach vm7
refused '/dev/nbd0 is not attached' nbdcrypt detach nbd0
nbdcrypt detach --if-attached vm7

step "two at once, and a device that is a stranger's now"
nbdcrypt attach --socket /control --json vm7 >/one &
other=$!
nbdcrypt attach --socket /control --json vm7 >/two
wait "$other"
[ "$(nbdcrypt attached | wc -l)" -eq 2 ]
[ "$(cat /one /two | grep -c '"changed": true')" -eq 1 ]
kill -9 "$(nbdcrypt attached --json | sed -n 's/.*"supervisor": \([0-9]*\).*/\1/p')"
nbd-client -d /dev/nbd0 >/dev/null
nbd-client localhost 10809 /dev/nbd0 -N 'odd name/ü' >/dev/null 2>&1
nbdcrypt attached | grep '^/dev/nbd0  *-'
[ "$(nbdcrypt attach --socket /control vm7)" = /dev/nbd1 ]
nbdcrypt detach vm7
nbdcrypt detach nbd0

step "an odd name, block sizes"
nbdcrypt attach --socket /control --block-size 4096 --read-only 'odd name/ü' >/device
refused "it is attached, and its device can't be written: No space left" sh -c 'exec nbdcrypt attach --socket /control "odd name/ü" >/dev/full'
[ -b '/dev/disk/by-nbd/odd\x20name\x2f\xc3\xbc' ]
[ "$(cat /sys/block/nbd0/queue/logical_block_size)" -eq 4096 ]
nbdcrypt detach 'odd name/ü'

step "TLS"
for how in '' --tls-proxy; do
    nbdcrypt attach $how --name t --timeout 1 "$tls" >/device
    mkfs.ext4 -q /dev/nbd0
    mount /dev/nbd0 /mnt
    dd if=/dev/urandom of=/random bs=1M count=2 2>/dev/null
    cp /random /mnt/copy
    kill_server
    sync -f /mnt &
    syncer=$!
    start
    wait "$syncer"
    umount /mnt
    echo 3 >/proc/sys/vm/drop_caches
    mount /dev/nbd0 /mnt
    cmp /random /mnt/copy
    umount /mnt
    nbdcrypt detach t
done
[ "$(dmesg | grep -c 'I/O error')" -eq 0 ]
rmmod tls
refused 'load its module with `modprobe tls`; --tls-proxy does TLS in a process' nbdcrypt attach "$tls"

step "another kind of server"
nbdkit --unix /kit.socket --pidfile /kit.pid /nbdkit-memory-plugin.so 8M
refused 'the default export has no name: give one by --name' nbdcrypt attach 'nbd+unix:///?socket=/kit.socket'
nbdcrypt attach --name kit 'nbd+unix:///?socket=/kit.socket' >/device 2>/err
grep 'the server does not tell which disk this is' /err
dd if=/random of=/dev/nbd0 bs=1M conv=fsync 2>/dev/null
cmp -n 2097152 /random /dev/nbd0
nbdcrypt attached
nbdcrypt detach kit

step "nbdtab"
mkdir -p /etc/nbdcrypt
printf '# comment\nother elsewhere noauto\n' >/etc/nbdcrypt/nbdtab
nbdcrypt attach --persist --socket /control --timeout off --connections 2 --name disk vm7 >/device
nbdcrypt detach disk
nbdcrypt attach disk >/device
nbdcrypt attached --json | grep '"connections": 2'
cat /etc/nbdcrypt/nbdtab
nbdcrypt detach --persist disk
grep -c . /etc/nbdcrypt/nbdtab
rm /etc/nbdcrypt/nbdtab
mkdir -p /etc/nbdcrypt/nbdtab/x
refused '/etc/nbdcrypt/nbdtab' nbdcrypt attach --persist --socket /control --name disk vm7
[ "$(nbdcrypt attached | wc -l)" -eq 1 ]
step "all done"
SCRIPT
guest_run -- <"$test_dir/script" || fail "in the guest: $(cat "$guest_output")"
note "$(grep '^==' "$guest_output" | tr '\n' ';')"
expect_match "$guest_output" '^== all done'
