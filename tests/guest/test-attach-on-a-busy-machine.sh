#!/bin/bash
# nbdcrypt attach in a guest that has no time to make threads for the kernel, whose NBD client then receives from some
# connections and not from others: what was attached answers on each processor, long before a request times out.
. "$(dirname "$0")/../support/functions.sh"
. "$(dirname "$0")/../support/guest.sh"

guest_requires_attach
guest_add "$NBDCRYPT" /usr/bin/nbdcrypt

guest_run <<'SCRIPT' || fail "in the guest: $(cat "$guest_output")"
renice -n -20 $$ >/dev/null
nbdcrypt serve --control /control --listen 127.0.0.1:10809 --raw --export vm7=memory:16M >/ready 2>/server.log &
server=$!
wait_for /ready "$server" /server.log
step "busy"
busy=
for _ in $(seq 12); do
    sh -c 'while :; do :; done' &
    busy="$busy $!"
done
for turn in 1 2 3; do
    step "attach, turn $turn"
    nbdcrypt attach --socket /control --timeout 60 --connections 4 vm7
    for cpu in 0 1; do
        before=$(cut -d . -f 1 /proc/uptime)
        taskset $((1 << cpu)) dd if=/dev/nbd0 of=/dev/null bs=4096 count=1 skip=$((100 + cpu)) iflag=direct
        after=$(cut -d . -f 1 /proc/uptime)
        [ $((after - before)) -lt 30 ] || { echo "a read took $((after - before)) s"; exit 1; }
    done
    nbdcrypt detach vm7
done
if dmesg | grep 'I/O error'; then exit 1; fi
kill $busy
kill "$server"
cat /server.log
SCRIPT
