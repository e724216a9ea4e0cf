#!/bin/bash
# The example of a CSI node plugin with the kernel's NBD client: a volume is formatted once, mounted, written while its
# server is killed and its key comes again, grown while it is mounted, and there after it was taken away and staged again.
. "$(dirname "$0")/../support/functions.sh"
. "$(dirname "$0")/../support/guest.sh"

guest_requires_attach
requires command -v blkid
requires command -v resize2fs
guest_add "$NBDCRYPT" /usr/bin/nbdcrypt
guest_add "$source_dir/examples/csi-node" /usr/bin/csi-node
guest_add "$passphrase" /key
for program in blkid flock resize2fs; do
    guest_add "$(command -v "$program")" "/usr/local/bin/$program"
done

cat >"$test_dir/script" <<'SCRIPT'
PATH=/usr/local/bin:$PATH
chmod 600 /key
start() {
    rm -f /ready
    nbdcrypt serve --control /control --unix /nbd.socket --export first=memory:1M,raw >/ready 2>>/server.log &
    server=$!
    wait_for /ready "$server" /server.log
}
kill_server() {
    kill -9 "$server"
    wait "$server" 2>/dev/null || true
}
lost_none() { nbdcrypt attached --json | grep -q '"dead_connections": 0'; }
node() { csi-node --timeout 1 --control /control "$@" 3</key; }
twice() {
    node "$@"
    node "$@"
}
refused() {
    expected=$1 code=0
    shift
    node "$@" 2>/err || code=$?
    [ "$code" -eq "$expected" ] || { echo "$*: status $code: $(cat /err)"; exit 1; }
}
mkdir /images
nbdcrypt format --pbkdf pbkdf2 --pbkdf-iterations 1000 --size 32M --key-file /key /images/disk >/dev/null

step "first use"
start
refused 9 publish pvc /staging /pod
twice stage pvc /images/disk /staging
twice publish pvc /staging /pod
twice publish pvc /staging /reader ro
echo first >/pod/first
touch /reader/x 2>/dev/null && exit 1
node stats pvc /staging
nbdcrypt attached

step "the server is killed below a writer"
dd if=/dev/urandom of=/random bs=1M count=8 2>/dev/null
cp /random /pod/random
kill_server
start
sync -f /pod &
syncer=$!
twice stage pvc /images/disk /staging
wait "$syncer"
grep first /pod/first

step "larger, while it is mounted"
larger=$(($(stat -c %s /images/disk) + (16 << 20)))
truncate -s "$larger" /images/disk
twice expand pvc /staging
nbdcrypt attached --json | grep "\"size_bytes\": $((48 << 20))"
nbdcrypt attach --socket /control --grow --json pvc | grep '"changed": false'
node stats pvc /staging
dd if=/dev/urandom of=/more bs=1M count=22 2>/dev/null # more than there was room for
cp /more /pod/more
kill_server
start
node stage pvc /images/disk /staging
until_so lost_none
cp /random /pod/again
sync -f /pod

step "in use"
sh -c 'exec sleep 1000 >/pod/open' &
holder=$!
refused 13 unstage pvc /staging
refused 13 unpublish /pod
kill "$holder"
wait "$holder" || true

step "away, and back"
twice unpublish /pod
twice unpublish /reader
twice unstage pvc /staging
[ "$(nbdcrypt attached --json | tr -d '[:space:]')" = '[]' ]
echo 3 >/proc/sys/vm/drop_caches
twice stage pvc /images/disk /staging
cmp /random /staging/random
cmp /random /staging/again
cmp /more /staging/more
grep first /staging/first

step "without a server"
twice unpublish /pod
umount /staging
nbdcrypt ctl --socket /control drain
wait "$server"
refused 14 stage pvc /images/disk /staging
twice unstage pvc /staging
[ "$(dmesg | grep -c 'I/O error')" -eq 0 ]
[ -z "$(ls /run/*.lock 2>/dev/null | grep -v csi-node)" ]
step "all done"
SCRIPT
guest_run -- <"$test_dir/script" || fail "in the guest: $(cat "$guest_output")"
note "$(grep '^==' "$guest_output" | tr '\n' ';')"
expect_match "$guest_output" '^== all done'
