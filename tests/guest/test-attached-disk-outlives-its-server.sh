#!/bin/bash
# nbdcrypt attach in a guest, by the kernel's NBD client: a disk that is written while its server is killed, or ended, and
# started again, 20 times, has no error and loses nothing.  Another disk, or a smaller one, under its name is not taken for it.  A
# supervisor that dies has a successor.  Without any server requests fail when they are told to.
. "$(dirname "$0")/../support/functions.sh"
. "$(dirname "$0")/../support/guest.sh"

GUEST_TIMEOUT_S=${GUEST_TIMEOUT_S:-270} # the kernel waits a second or two after each kill

kills=20
! is_sanitized || kills=5
guest_requires_attach
requires fio --version
guest_add "$NBDCRYPT" /usr/bin/nbdcrypt
guest_add "$(command -v fio)" /usr/bin/fio
guest_add "$passphrase" /key

{ echo "kills=$kills" && cat <<'SCRIPT'; } >"$test_dir/script"
chmod 600 /key
format() { nbdcrypt format --pbkdf pbkdf2 --pbkdf-iterations 1000 --size "$2" --key-file /key "$1" >/dev/null; }
start() {
    rm -f /ready
    nbdcrypt serve --control /control --listen 127.0.0.1:10809 --key-file /key --export "vm7=${1:-/disk}" >/ready 2>>/server.log &
    server=$!
    wait_for /ready "$server" /server.log
}
# kill_server [SIGNAL]
kill_server() {
    kill "-${1-KILL}" "$server"
    wait "$server" 2>/dev/null || true
}
# Reads and writes that the device has done.
done_requests() {
    read -r reads _ _ _ writes _ </sys/block/nbd0/stat
    echo $((reads + writes))
}
has_done() { [ "$(done_requests)" -ge "$1" ] || ! kill -0 "$fio" 2>/dev/null; }
# lost N: so many connections are.
lost() { [ "$(nbdcrypt attached --json | sed -n 's/.*"dead_connections": \([0-9]*\).*/\1/p')" -eq "$1" ]; }
attach() {
    rm -f /device
    nbdcrypt attach --foreground --timeout 1 --socket /control "$@" vm7 >/device 2>>/attach.log &
    supervisor=$!
    wait_for /device "$supervisor" /attach.log
}

format /disk 32M
format /other 32M
format /small 16M
start
attach
[ "$(cat /device)" = /dev/nbd0 ]
[ "$(cat /sys/block/nbd0/size)" -eq $((32 << 11)) ]
grep -q '^vm7 [0-9a-f-]\{36\}$' /sys/block/nbd0/backend

step "$kills kills"
fio --name=verify --filename=/dev/nbd0 --ioengine=libaio --direct=1 --iodepth=16 --rw=randwrite --bs=4k --size=16M \
    --verify=crc32c --verify_fatal=1 --end_fsync=1 --randseed=7 >/fio.log 2>&1 &
fio=$!
part=$((4096 / (kills + 2)))
for kill in $(seq "$kills"); do
    until_so has_done $((kill * part))
    kill -0 "$fio" || break
    case $kill in
    *[02468]) kill_server TERM ;; # it takes its leave of the clients
    *) kill_server ;;
    esac
    start
done
echo "killed $kill times, $(done_requests) requests"
wait "$fio" || { cat /fio.log; exit 1; }
grep -o 'err= *[0-9]*' /fio.log
until_so lost 0
[ "$(dmesg | grep -cE 'I/O error|Buffer I/O')" -eq 0 ]

step "another disk, a smaller one"
kill_server
start /other
until_so grep -q 'another disk there now' /attach.log
until_so lost 4
dd if=/dev/nbd0 of=/read bs=4k count=64 iflag=direct 2>/dev/null &
reader=$!
kill_server
start /small
until_so grep -q 'its UUID is' /attach.log
kill -0 "$reader"
kill_server
start
wait "$reader"
until_so lost 0

step "a supervisor that dies, and its successor"
kill -9 "$supervisor"
wait "$supervisor" 2>/dev/null || true
nbdcrypt attached
nbdcrypt attached --json | grep -q '"supervisor": null'
kill_server
start
attach
[ "$(cat /device)" = /dev/nbd0 ]
nbdcrypt attach --json --socket /control vm7 | grep '"changed": false'
until_so lost 0
dd if=/dev/nbd0 of=/copy bs=4k count=64 iflag=direct 2>/dev/null
cmp /read /copy

step "detached"
nbdcrypt detach vm7
wait "$supervisor"
[ "$(nbdcrypt attached | wc -l)" -eq 1 ]

step "without any server"
attach --dead-timeout 1 --connections 1 --read-only
[ "$(cat /sys/block/nbd0/ro)" -eq 1 ]
kill_server
if dd if=/dev/nbd0 of=/dev/null bs=4k count=1 iflag=direct 2>/dev/null; then
    echo "it was read without a server"
    exit 1
fi
start
until_so lost 0
dd if=/dev/nbd0 of=/copy bs=4k count=64 iflag=direct 2>/dev/null
cmp /read /copy
nbdcrypt detach /dev/nbd0
step "all done"
SCRIPT
guest_run -- <"$test_dir/script" || fail "in the guest: $(cat "$guest_output")"
note "$(grep -E '^(==|killed)' "$guest_output" | tr '\n' ';')"
expect_match "$guest_output" "^killed $kills times"
expect_match "$guest_output" '^err= *0$'
expect_match "$guest_output" '^== all done'
