#!/bin/bash
# Each command of docs/integration.md, in its order, as root on a machine with the kernel's NBD client; and what `attach` says
# of an export that its server can't open.
. "$(dirname "$0")/../support/functions.sh"
. "$(dirname "$0")/../support/guest.sh"

guest_requires_attach
for program in blkid flock nbdinfo truncate; do
    requires command -v "$program"
    guest_add "$(command -v "$program")" "/usr/local/bin/$program"
done
guest_add "$NBDCRYPT" /usr/bin/nbdcrypt
guest_add "$source_dir/examples/csi-node" /usr/bin/csi-node
guest_add "$passphrase" /key

# What is indented and stands outside of a fence.  Keys are derived quickly here.
awk '/^```/ { fence = !fence; next } !fence && /^    / { sub(/^ +/, ""); print }' "${top_srcdir:-$source_dir}/docs/integration.md" |
    sed -E 's/^nbdcrypt format /&--pbkdf pbkdf2 --pbkdf-iterations 1000 /' >"$test_dir/page"
expect_equal "commands of the page" 34 "$(grep -cE '(^|\| |exec |^cat .* \| )nbdcrypt |^csi-node |^/etc/libvirt' "$test_dir/page")"
guest_add "$test_dir/page" /page

guest_run -- <<'SCRIPT' || fail "in the guest: $(cat "$guest_output")"
PATH=/usr/local/bin:$PATH
format() { nbdcrypt format --pbkdf pbkdf2 --pbkdf-iterations 1000 --size 16M --key-file "$@" >/dev/null; }
start() {
    rm -f /ready
    nbdcrypt serve --config /etc/nbdcrypt/nbdcrypt.conf "$@" >/ready 2>>/server.log &
    server=$!
    wait_for /ready "$server" /server.log
}
umask 077
mkdir -p /run/keys /run/nbdcrypt
for name in vm7 vm8 pvc-1 vm-100 ganeti; do
    cp /key "/run/keys/$name"
done
head -c 32 /dev/urandom >/run/keys/payload # Barbican's, and what Cinder makes of it
od -An -v -tx1 </run/keys/payload | tr -d ' \n' >/hexadecimal
umask 022
mkdir -p /srv/images /etc/nbdcrypt /var/lib/nbdcrypt/conf.d
for name in vm7 vm8 pvc-1; do
    format "/run/keys/$name" "/srv/images/$name"
done
format /hexadecimal /srv/images/volume-1
printf '[server]\nunix = /run/nbdcrypt/nbd.sock\n[export first]\nimage = memory:1M\nraw = yes\n' >/etc/nbdcrypt/nbdcrypt.conf

step "the page"
start --sandbox-image-paths /srv/images
sh -eux /page >/page.out 2>&1 || { cat /page.out; exit 1; }
cat /page.out
[ "$(nbdcrypt attached --json | tr -d '[:space:]')" = '[]' ]
[ "$(nbdcrypt ctl --json exports | grep -c '"name"')" -eq 1 ]
[ -z "$(ls /var/lib/nbdcrypt/conf.d)" ]
! grep -aqF "$(cat /key)" /page.out /server.log || exit 1
[ "$(grep -c '^/dev/nbd0$' /page.out)" -eq 3 ]
grep '"device": "/dev/nbd0"' /page.out
grep '"size_bytes": 33554432' /page.out
grep '"changed": true' /page.out

step "the key on the server is wrong"
kill "$server"
wait "$server"
echo wrong >/run/keys/vm7
printf '[export vm7]\nimage = /srv/images/vm7\nkey-file = /run/keys/vm7\n' >>/etc/nbdcrypt/nbdcrypt.conf
start
! nbdcrypt attach vm7 2>/err || exit 1
grep "export 'vm7' is not served: its image or its key can't be opened, and the log of the server says why" /err
! nbdcrypt attach --name vm7 'nbd+unix:///vm7?socket=/run/nbdcrypt/nbd.sock' 2>/err || exit 1
cat /err
grep "no key" /server.log
nbdcrypt attach --wait 60 vm7 >/device &
waiting=$!
cp /key /run/keys/vm7 # the server tries it again
wait "$waiting"
nbdcrypt detach vm7
step "all done"
SCRIPT
note "$(grep '^==' "$guest_output" | tr '\n' ';')"
expect_match "$guest_output" '^== all done'
