#!/bin/bash
# nbdcrypt attach in a guest, when others are in the way: one that is killed before it has written down what it did; one
# that is told to end while it starts, which leaves a disk that is looked after, or none; a device whose number somebody
# else has by now; who does not read what the supervisor says; several that write to nbdtab; what is built on a device
# without claiming it; no server.
. "$(dirname "$0")/../support/functions.sh"
. "$(dirname "$0")/../support/guest.sh"

GUEST_TIMEOUT_S=${GUEST_TIMEOUT_S:-270}
guest_requires_attach
requires command -v dmsetup
guest_add "$NBDCRYPT" /usr/bin/nbdcrypt
guest_add "$(command -v dmsetup)" /usr/sbin/dmsetup
guest_add "$passphrase" /key
if ! is_sanitized; then # whose library has to come first
    guest_add "$(realpath "${top_builddir:-.}/tests/support/busy-kernel.so")" /busy-kernel.so
fi
requires nbdkit --version
folders=$(nbdkit --dump-config)
guest_add "$(command -v nbdkit)" /usr/bin/nbdkit
for part in plugindir=nbdkit-memory-plugin.so filterdir=nbdkit-delay-filter.so; do
    install "$(sed -n "s/^${part%%=*}=//p" <<<"$folders")/${part#*=}" "$test_dir/${part#*=}" # what is executable takes its libraries along
    guest_add "$test_dir/${part#*=}" "/${part#*=}"
done

cat >"$test_dir/script" <<'SCRIPT'
chmod 600 /key
start() {
    rm -f /ready
    nbdcrypt serve --control /control --listen 127.0.0.1:10809 --key-file /key --export vm7=/disk --export other=/disk2 \
        >/ready 2>>/server.log &
    server=$!
    wait_for /ready "$server" /server.log
}
kill_server() {
    kill -9 "$server"
    wait "$server" 2>/dev/null || true
}
lost() { [ "$(nbdcrypt attached --json | sed -n 's/.*"dead_connections": \([0-9]*\).*/\1/p')" -eq "$1" ]; }
supervisor_of() { nbdcrypt attached --json | tr -d ' \n' | sed "s/}/\n/g" | sed -n "s/.*\"name\":\"$1\".*\"supervisor\":\([0-9]*\).*/\1/p"; }
is_attached() { [ -e "/sys/block/$1/pid" ]; }
has_size() { [ "$(cat "/sys/block/$1/size")" -gt 0 ]; }
is_not_attached() { ! is_attached "$1"; }
disconnected() { dmesg | grep -q "shutting down sockets"; }
ends() { ! kill -0 "$1" 2>/dev/null; }
in_use() {
    if nbdcrypt detach vm7 2>/err; then
        echo "detached, and it is in use: $1"
        exit 1
    fi
    grep -qF "it is not detached: /dev/nbd0 is in use: $1" /err || { cat /err; exit 1; }
}
options='--socket /control --connections 1 --timeout 1'
attach() { nbdcrypt attach $options "$@"; }

for disk in /disk /disk2; do
    nbdcrypt format --pbkdf pbkdf2 --pbkdf-iterations 1000 --size 32M --key-file /key "$disk" >/dev/null
done
start

step "killed before it is written down"
mkdir -m 755 /run/nbdcrypt-attach
mkfifo /run/nbdcrypt-attach/nbd0.new # it waits here
nbdcrypt attach $options --foreground vm7 >/dev/null 2>&1 &
first=$!
until_so is_attached nbd0
until_so grep -q vm7 /sys/block/nbd0/backend
until_so has_size nbd0
kill -9 "$first"
rm /run/nbdcrypt-attach/nbd0.new
[ "$(attach --json vm7 | tee /json | grep -c '"changed": false')" -eq 1 ]
grep '/dev/nbd0' /json
[ "$(readlink /dev/disk/by-nbd/vm7)" = ../../nbd0 ]
[ "$(nbdcrypt attached | wc -l)" -eq 2 ]
[ -z "$(find /run/nbdcrypt-attach -name '*.lock' -perm /077)" ] # who may open it may lock it
# ... nor what its supervisor has not read.
[ "$(awk '$2 == 16 { sum += $5 } END { print sum + 0 }' /proc/net/netlink)" -eq 0 ]
kill -9 "$(supervisor_of vm7)"
rm /dev/disk/by-nbd/vm7
attach vm7
[ -e /dev/disk/by-nbd/vm7 ]
if attach --read-only vm7 2>/err; then exit 1; fi
grep -F "which can be written" /err
nbdcrypt detach vm7
mkfifo /run/nbdcrypt-attach/nbd0.new
nbdcrypt attach $options --foreground vm7 >/dev/null 2>&1 &
first=$!
until_so is_attached nbd0
kill -INT "$first"
# If that came just before it waits at the record, it waits there until somebody reads: no file of its own makes it.
let_on() {
    ends "$first" && return
    tries=$((tries + 1))
    [ "$tries" -lt 40 ] || timeout 1 cat /run/nbdcrypt-attach/nbd0.new >/dev/null 2>&1
    return 1
}
tries=0
until_so let_on
rm -f /run/nbdcrypt-attach/nbd0.new
until_so is_not_attached nbd0

step "told to end while it starts"
given_up() { # SIGNAL: what is printed goes to /err
    rm -f /held.waits
    touch /held
    HELD=/held LD_PRELOAD=/busy-kernel.so nbdcrypt attach $options vm7 >/device 2>/err &
    first=$!
    until_so test -e /held.waits
    kill "-$1" "$first"
    [ "$1" = KILL ] || kill -0 "$first" # it waits for the one that knows
    rm /held
    status=0
    wait "$first" || status=$?
    until_so is_not_attached nbd0
    [ ! -s /device ]
}
if [ -e /busy-kernel.so ]; then
    for signal in TERM HUP; do
        given_up "$signal"
        [ "$status" -eq 1 ]
        grep -F "the program ends" /err
        [ "$(nbdcrypt attached | wc -l)" -eq 1 ]
    done
    given_up KILL
    rm /held.waits
fi
statuses=
for moment in true 'is_attached nbd0' 'has_size nbd0' 'test -e /dev/disk/by-nbd/vm7'; do
    nbdcrypt attach $options vm7 >/device 2>/err &
    first=$!
    until_so $moment
    kill -TERM "$first" 2>/dev/null || true
    status=0
    wait "$first" || status=$?
    statuses="$statuses $status"
    if [ "$status" -eq 0 ]; then
        kill -0 "$(supervisor_of vm7)"
        nbdcrypt detach "$(cat /device)"
    fi
    [ "$(nbdcrypt attached | wc -l)" -eq 1 ]
done
echo "statuses:$statuses"
kill -9 "$(attach vm7 >/device && supervisor_of vm7)"
attach vm7 # what was there before is taken over
[ "$(supervisor_of vm7)" -gt 0 ]
nbdcrypt detach vm7

step "a number that is another's by now"
attach vm7
dmesg -c >/dev/null
exec 5</dev/nbd0
nbdcrypt detach --force vm7 5<&- & # which waits for that
detacher=$!
until_so disconnected
kill -STOP "$detacher"
exec 5<&-
until_so is_not_attached nbd0
attach other
until_so supervisor_of other
kill -CONT "$detacher"
wait "$detacher"
[ "$(supervisor_of other)" -gt 0 ]
[ "$(readlink /dev/disk/by-nbd/other)" = ../../nbd0 ]
sleep 1
nbdcrypt attached | grep other
nbdcrypt detach other

step "a number that is another's before it has a size"
if [ -e /busy-kernel.so ]; then
    touch /held
    HELD=/held LD_PRELOAD=/busy-kernel.so nbdcrypt attach $options vm7 >/device 2>/err &
    first=$!
    until_so test -e /held.waits
    [ "$(cat /sys/block/nbd0/size)" -eq 0 ]
    nbdcrypt detach nbd0
    attach other
    rm /held
    if wait "$first"; then exit 1; fi
    grep -F "somebody has detached /dev/nbd0 while it was being attached" /err
    dd if=/dev/nbd0 of=/dev/null bs=4k count=1 iflag=direct 2>/dev/null
    nbdcrypt attached | grep other
    [ "$(readlink /dev/disk/by-nbd/other)" = ../../nbd0 ]
    nbdcrypt detach other
    # One that is killed there leaves nothing that anybody could have used.
    rm /held.waits
    touch /held
    HELD=/held LD_PRELOAD=/busy-kernel.so nbdcrypt attach $options --foreground vm7 >/dev/null 2>&1 &
    first=$!
    until_so test -e /held.waits
    kill -9 "$first"
    rm /held
    attach --json vm7 | grep '"changed": true'
    dd if=/dev/disk/by-nbd/vm7 of=/dev/null bs=4k count=1 iflag=direct 2>/dev/null
    [ "$(nbdcrypt attached | wc -l)" -eq 2 ]
    nbdcrypt detach vm7
fi

step "a service beside one that was attached by hand"
attach vm7
by_hand=$(supervisor_of vm7)
nbdcrypt attach $options --foreground vm7 >/device 2>/dev/null &
service=$!
until_so grep -q nbd0 /device
kill -0 "$service"
[ "$(supervisor_of vm7)" -eq "$by_hand" ]
kill -9 "$by_hand"
is_the_service() { [ "$(supervisor_of vm7)" = "$service" ]; }
until_so is_the_service

step "udev looks at what was attached a moment ago"
mkfifo /never
cat >'/(udev-worker)' <<'UDEV' # which is what such a process is called
#!/bin/sh
exec 5</dev/nbd0 6<>/never
echo open >/opened
read nothing <&6
UDEV
chmod +x '/(udev-worker)'
'/(udev-worker)' &
udev=$!
until_so test -s /opened
(sleep 2 && echo enough >/never) &
nbdcrypt detach vm7
wait "$udev"
until_so ends "$service"

step "nobody reads"
mkfifo /log
sleep 1000 <>/log &
reader=$!
dd if=/dev/zero bs=4k count=64 of=/log 2>/dev/null & # more than a pipe holds
writer=$!
nbdcrypt attach $options --foreground vm7 >/device 2>/log &
supervisor=$!
until_so grep -q nbd /device
kill_server
until_so lost 1
start
until_so lost 0
kill "$reader" "$writer"
nbdcrypt detach vm7
until_so ends "$supervisor"
syslogd -n -O /messages &
syslog=$!
until_so test -S /dev/log
attach vm7
kill -STOP "$syslog"
for _ in $(seq 30); do logger full & done
kill_server
until_so lost 1
start
until_so lost 0
kill -9 "$syslog"
nbdcrypt detach vm7

step "nbdtab has all lines"
mkdir -p /etc/nbdcrypt
echo 'wrong is this line, too' >/etc/nbdcrypt/nbdtab
pids=
for name in a b c d e f; do
    attach --name "$name" --persist vm7 >/dev/null &
    pids="$pids $!"
done
for pid in $pids; do wait "$pid"; done
cat /etc/nbdcrypt/nbdtab
[ "$(grep -c '^[a-f] vm7 ' /etc/nbdcrypt/nbdtab)" -eq 6 ]
for name in a b c d e f; do nbdcrypt detach "$name"; done
attach a >/dev/null
nbdcrypt detach a

step "what is built on it"
attach vm7
losetup /dev/loop0 /dev/nbd0
in_use '/dev/loop0 is made of it'
losetup -d /dev/loop0
sh -eu /modules/load-dm-crypt 2>/dev/null || true
echo '0 1024 linear /dev/nbd0 0' | dmsetup create --noudevsync part
in_use 'it is part of dm-0'
dmsetup remove --noudevsync part

step "a time limit that is shorter than an answer takes"
nbdkit --unix /kit.socket --filter=/nbdkit-delay-filter.so /nbdkit-memory-plugin.so 8M rdelay=3
kit='--name kit nbd+unix:///?socket=/kit.socket'
dmesg -c >/dev/null
nbdcrypt detach vm7
nbdcrypt attach --foreground --timeout 1 $kit >/device 2>/kit.log &
until_so grep -q nbd /device
dd if=/dev/nbd0 of=/dev/null bs=4k count=1 iflag=direct 2>/dev/null &
reader=$!
until_so grep -q 'does it take longer than --timeout 1 to answer?' /kit.log
kill -0 "$reader" # all of this time
dmesg | grep -m 1 'Connection timed out, retrying (4/4 alive)'
nbdcrypt detach --force kit
wait "$reader" || true
nbdcrypt attach --timeout 20 $kit >/device 2>&1
dd if=/dev/nbd0 of=/dev/null bs=4k count=1 iflag=direct 2>/dev/null
nbdcrypt detach kit
attach vm7

step "no server"
nbdcrypt detach vm7
attach vm7 # nobody has opened it
kill_server
until_so lost 1
# Who reads what it says until its end has that, too.
{ timeout 60 nbdcrypt detach vm7 2>&1 && echo "detached, and nobody knew whether it was in use"; } | timeout 60 cat >/err
cat /err
[ "$(grep -c '^detached' /err)" -eq 0 ]
grep -F "it can't be told whether /dev/nbd0 is in use" /err
timeout 60 nbdcrypt detach --force vm7
is_not_attached nbd0
step "all done"
SCRIPT
guest_run -- <"$test_dir/script" || fail "in the guest: $(cat "$guest_output")"
note "$(grep '^==' "$guest_output" | tr '\n' ';')"
expect_match "$guest_output" '^== all done'
