#!/bin/bash
# Each command of nbdcrypt-troubleshoot(7) shows what the page says, against a server that has this trouble.
. "$(dirname "$0")/../support/functions.sh"
. "$(dirname "$0")/../support/report-functions.sh"

requires nbdinfo --version
page=$source_dir/docs/nbdcrypt-troubleshoot.7
root=$test_dir/root
mkdir -p "$test_dir/bin" "$root/run/nbdcrypt" "$root/srv" "$root/etc/nbdcrypt" "$root/var/lib/nbdcrypt"
ln -s "$NBDCRYPT" "$test_dir/bin/nbdcrypt"
ln -s "$(dirname "$NBDCRYPT")/nbdcrypt-bench" "$test_dir/bin/nbdcrypt-bench"
PATH=$test_dir/bin:$PATH
export RUNTIME_DIRECTORY=$root/run/nbdcrypt # where ctl looks for the control socket
reports=$root/var/lib/nbdcrypt/reports
config=$root/etc/nbdcrypt/nbdcrypt.conf
port=''

# ---- the page ----

# in_root: the paths of the page, and its port, are those of this test.
in_root() {
    sed -E "s,(^|[^A-Za-z])/(etc/nbdcrypt|run/nbdcrypt|srv|var/lib/nbdcrypt)/,\1$root/\2/,g; s/localhost:10809/localhost:$port/g"
}

# display TROUBLE: the lines below its mark.
display() {
    awk -v mark=".\\\\\" trouble: $1" '
        $0 == mark { marked = 1; next }
        marked && /^\.Bd / { inside = 1; next }
        inside && /^\.Ed/ { exit }
        inside' "$page" | sed 's/^\\&//' | in_root
}

# In a display, too, a line that begins with a dot is a command of mdoc, and man(1) does not show it.
awk '/^\.Bd / { inside = 1; next } /^\.Ed/ { inside = 0 } inside && /^[.'"'"']/' "$page" >"$test_dir/hidden"
expect_equal "lines that man(1) does not show" "" "$(cat "$test_dir/hidden")"

# as_pattern LINE: numbers stand for any number, three dots for any text, a space for any space.
as_pattern() {
    sed -E -e 's/[][\\.*^$+?(){}|]/\\&/g' -e 's/\\\.\\\.\\\./.*/g' -e 's/\b[0-9]+/[0-9]+/g' -e 's/ +/ +/g' -e 's/.*/^ *& *$/' <<<"$1"
}

# shows COMMAND FILE: it prints each line of the file; without one, it succeeds.
shows() {
    local line status=0

    timeout 20 bash -c "$1" >"$log_dir/shown" 2>&1 </dev/null || status=$?
    [ -s "$2" ] || return "$status"
    while IFS= read -r line; do
        grep -qE -e "$(as_pattern "$line")" "$log_dir/shown" || return 1
    done <"$2"
}

# expect_shown COMMAND FILE: it does, at some time: what is wrong takes its time to be noticed.
expect_shown() {
    local deadline=$((SECONDS + ${TROUBLE_WAIT_S:-20})) line

    until shows "$1" "$2"; do
        if [ "$SECONDS" -ge "$deadline" ]; then
            while IFS= read -r line; do
                grep -qE -e "$(as_pattern "$line")" "$log_dir/shown" || note "it does not show: $line"
            done <"$2"
            fail "'$1' does not show what the page says"
        fi
        sleep 0.1
    done
}

# try TROUBLE: each command of its display.
tried=()
try() {
    local lines=() line command='' expected=$test_dir/expected

    mapfile -t lines < <(display "$1")
    [ ${#lines[@]} -gt 0 ] || fail "the page has no display '$1'"
    export pid
    for line in "${lines[@]}" '$ '; do
        if [ "${line#\$ }" = "$line" ]; then
            printf '%s\n' "$line" >>"$expected"
            continue
        fi
        [ -z "$command" ] || expect_shown "$command" "$expected"
        command=${line#\$ }
        : >"$expected"
    done
    tried+=("$1")
    note "$1: shown, $SECONDS s"
}

# ---- servers and clients ----

# end_nbdcrypt: of a server that tells by its status that data was lost.
end_nbdcrypt() {
    local status=0

    kill -TERM "$pid"
    wait "$pid" || status=$?
    expect_equal "exit status" 1 "$status"
}

# client EXPORT STATEMENT: a connection in Python, in the background.
client() {
    "$PYTHON" -c "import os, sys
from nbd_client import *
client = Client('nbd+unix:///$1?socket=$root/run/nbdcrypt/nbd.sock')
$2" 2>>"$log_dir/clients" &
    client_pid=$!
    remember_pid "$client_pid"
}
is_there() {
    nbdinfo --size "$1" >"$log_dir/size" 2>&1
}

# ---- storage, and a server ----

start_storage() {
    rm -f "$root/srv/storage.sock"
    nbdcrypt serve --control none --threads 1 --unix "$root/srv/storage.sock" --raw memory:64M >"$log_dir/storage" 2>&1 </dev/null &
    storage=$!
    remember_pid "$storage"
    wait_until 30 is_there "nbd+unix:///?socket=$root/srv/storage.sock"
}
start_storage
truncate --size=4M "$root/srv/vm1.raw"
nbdcrypt tls init "$root/etc/nbdcrypt/pki" --host localhost >"$log_dir/pki"
nbdcrypt tls init "$test_dir/other" --host localhost >"$log_dir/other"
mkdir "$root/etc/nbdcrypt/clients"
cp -r "$test_dir/other/clients/client" "$root/etc/nbdcrypt/clients/old"
cp -r "$test_dir/other/clients/client" "$root/etc/nbdcrypt/clients/strange"
cp "$root/etc/nbdcrypt/pki/ca-cert.pem" "$root/etc/nbdcrypt/clients/strange"
in_root >"$config" <<'END'
[server]
unix = /run/nbdcrypt/nbd.sock
listen = 127.0.0.1:0
threads = 1
memory-max = 4M
handshake-timeout = 1
[tls]
mode = require-tcp
certificates = /etc/nbdcrypt/pki/server
[control]
socket = /run/nbdcrypt/control
[report]
directory = /var/lib/nbdcrypt/reports
hung-request = 1
[defaults]
raw = yes
slow-request = 300ms
[export vm1]
image = /srv/vm1.raw
[export vm5]
image = /srv/vm5.raw
[export vm7]
image = nbd+unix:///?socket=/srv/storage.sock
[export vm8]
image = memory:64M
limit-iops = 2
[export vm9]
image = memory:1M
allow = uid:4711
[export scratch]
image = memory:1M
END
start_nbdcrypt --config "$config" --unix "$root/run/nbdcrypt/nbd.sock"

try first

# ---- refused, disconnected, slow, TLS ----

! is_there "nbd+unix:///vm9?socket=$root/run/nbdcrypt/nbd.sock" || fail "who may not attach did"
try refused
! is_there "nbd+unix:///vm5?socket=$root/run/nbdcrypt/nbd.sock" || fail "an image that is not there is served"
try refused-missing

"$PYTHON" -c 'import socket, sys
while True:
    with socket.create_connection(("127.0.0.1", int(sys.argv[1]))) as silent:
        while silent.recv(4096):
            pass' "$port" 2>>"$log_dir/clients" & # it says nothing, and comes again
silent=$!
remember_pid "$silent"
client vm8 'client.send_bytes(b"GET / HTTP/1.1 is no request of NBD")
client.expect_end()'
try disconnects
kill "$silent"

client vm8 'while True:
    client.read(0, 4096)'
try slow
try slow-mended
try cpu-load
kill "$client_pid"

try tls
try tls-client

# ---- storage that hangs, clients that wait for memory, storage that is gone ----


client vm7 "client.write(0, bytes(4096))
open('$test_dir/wrote', 'w').close()
wait_for(lambda: os.path.exists('$test_dir/stopped'), 'the storage to stop')
client.write(1 << 20, bytes(4096))"
wait_until 20 test -e "$test_dir/wrote"
stop_process "$storage"
touch "$test_dir/stopped"
try hang-storage
try hang-report
for _ in 1 2 3; do
    client vm7 'for at in range(4):
    client.send(CMD_WRITE, at << 20, payload=b"x" * (1 << 20))
client.receive()'
done
try memory
if grep -q '^memory_max_bytes = ' "$log_dir/shown"; then
    try memory-cgroup
else
    note "the cgroup that this runs in tells no memory"
    tried+=(memory-cgroup)
fi
kill -KILL "$storage"
wait "$storage" 2>>"$log_dir/storage" || true
try remote
start_storage
try remote-back

# ---- what is not served: keys, disks, configurations ----

printf secret >"$root/etc/nbdcrypt/vm4.key"
chmod 600 "$root/etc/nbdcrypt/vm4.key"
nbdcrypt format --key-file "$root/etc/nbdcrypt/vm4.key" --pbkdf pbkdf2 --pbkdf-iterations 1000 --size 1M \
    --cipher serpent-xts-plain64 --uuid 11111111-2222-3333-4444-555555555555 "$root/srv/vm4.luks" >"$log_dir/format"
try data-disk
try data-history
in_root >"$root/etc/nbdcrypt/wrong.conf" <<'END'
[server]
unix = /run/nbdcrypt/other.sock
[export vm4]
image = /srv/vm4.luks
key-file = /etc/nbdcrypt/absent.key
[export vm5]
image = /srv/vm5.raw
raw = yes
END
try start-check
try start-locked
end_nbdcrypt # storage in memory lost what was written

# ---- a server that waits for a key ----

rm -rf "$reports"
mkfifo "$test_dir/key"
nbdcrypt serve --unix "$root/run/nbdcrypt/nbd.sock" --control none --report-directory "$reports" --key-file "$test_dir/key" \
    "$root/srv/vm4.luks" >"$log_dir/starting" 2>&1 </dev/null &
pid=$!
remember_pid "$pid"
exec {key}>"$test_dir/key" # it has opened it
try start-hangs
exec {key}>&-
wait "$pid" || true

# ---- storage that can't make durable what was written ----

start_other() {
    rm -rf "$reports"
    start_nbdcrypt --unix "$root/run/nbdcrypt/nbd.sock" --control "$RUNTIME_DIRECTORY/control" --report-directory "$reports" \
        --threads 2 "$@"
}
plugin=$(realpath "${top_builddir:-.}/tests/support/nbdkit-order-plugin.so")
ASAN_OPTIONS=detect_leaks=0 start_other --raw --export "vm6=nbdkit:$plugin?size=1048576&fua=1&lose=$test_dir/lose"
client vm6 "client.write(0, bytes(4096))
open('$test_dir/lose', 'w').close()
equal('FLUSH', client.error_of(CMD_FLUSH), ENOSPC)"
wait "$client_pid"
try data-flush
end_nbdcrypt

# ---- a thread in a loop ----

# in_its_turn: a server whose worker loops while it serves clients, not while it sleeps.  It hardly does: its cipher is slower than
# its clients.  A process is made to loop once at most.
in_its_turn() {
    LD_PRELOAD=$trouble start_other --stall-report 1 --key-file "$root/etc/nbdcrypt/vm4.key" "$root/srv/vm4.luks"
    nbdcrypt-bench --connections 2 --depth 64 --block 64K --time 60 "$uri" >"$log_dir/load" 2>&1 &
    client_pid=$!
    remember_pid "$client_pid"
    wait_until 20 works
    make_trouble nbdcrypt-1 spin
    nbdcrypt ctl report >"$log_dir/report"
    grep -qE '^  worker = 1 .* asleep = no ' "$log_dir/report" && return
    make_trouble nbdcrypt-0 over
    kill "$client_pid"
    stop_nbdcrypt
    return 1
}
works() {
    [ "$(nbdcrypt ctl clients | grep -c ' transmission .* [MG]iB ')" -eq 2 ]
}
if is_sanitized; then
    note "no thread in a loop: a sanitizer does not bear what makes one"
    tried+=(hang-thread cpu-loop)
else
    wait_until 30 in_its_turn
    wait_for_report stall
    try hang-thread
    wait_for_report asked
    expect_in_report '  name = nbdcrypt-1  state = R  .*worker = 1  turn_ms = [0-9]{4}'
    try cpu-loop
    make_trouble nbdcrypt-0 over
    kill "$client_pid"
    stop_nbdcrypt
fi

# ---- nothing of the page was left out ----

expect_equal "troubles of the page" "$(sed -n 's/^\.\\" trouble: //p' "$page" | sort)" "$(printf '%s\n' "${tried[@]}" | sort)"
