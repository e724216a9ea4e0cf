#!/bin/bash
# A reload changes where the server listens, its limits and times, TLS and the log, while a client is at work that sees nothing of
# it; what fails, at whichever step, leaves all of it as it was.
. "$(dirname "$0")/../support/functions.sh"
. "$(dirname "$0")/../support/tls.sh"

requires nbdinfo --version
requires qemu-io --version

folder=$(temp_dir) control=$(temp_socket)
chmod 755 "$folder"
umask 022
config=$folder/nbdcrypt.conf
truncate --size=16M "$folder/busy"
make_pki

# write_config [LINE...]: of [server], and then of what follows.
write_config() {
    printf '%s\n' "[server]" "threads = 2" "$@" "[export busy]" "image = $folder/busy" "raw = yes" >"$config"
}
ctl() {
    "$NBDCRYPT" ctl --socket "$control" "$@"
}
reload() {
    write_config "$@"
    ctl reload >"$log_dir/reload" 2>&1 || fail "a reload failed: $(cat "$log_dir/reload")"
}
at() {
    printf 'nbd+unix:///busy?socket=%s' "$folder/$1"
}
serves() {
    nbdinfo --size "$@" >"$log_dir/size" 2>&1
}
# The URI of the TCP address, without an export.
tcp() {
    ctl --json status | "$PYTHON" -c 'import json, sys
print(*(one.rpartition("/")[0] + "/" for one in json.load(sys.stdin)["addresses"] if "unix" not in one))'
}
everything() {
    ctl --json exports | grep -v -e clients -e in_flight -e requests -e bytes -e oldest
    ctl --json status | grep -v -e since -e clients -e handshakes
    stat --format='%n %a' "$folder"/*.sock
}
is_logged() {
    grep -qE "$1" "$server_log"
}

write_config "unix = $folder/a.sock"
mkfifo "$test_dir/ready"
server_log=$log_dir/server-1
"$NBDCRYPT" serve --config "$config" --control "$control" >"$test_dir/ready" 2>"$server_log" &
pid=$!
remember_pid "$pid"
wait_for_ready "$test_dir/ready"
"$(dirname "$NBDCRYPT")/nbdcrypt-bench" --verify --write 50 --time 10 --depth 4 --json "$(at a.sock)" >"$log_dir/bench" 2>&1 &
bench=$!
remember_pid "$bench"
wait_until 30 is_logged "attached export 'busy'"

# ---- where it listens ----
reload "unix = $folder/b.sock"
serves "$(at b.sock)" || fail "an address that was added is not served"
[ ! -e "$folder/a.sock" ] || fail "an address that was taken away is still there"
reload "unix = $folder/b.sock" "unix-mode = 0600" "listen = 127.0.0.1:0"
expect_equal "mode" 600 "$(stat --format=%a "$folder/b.sock")"
serves "$(tcp)busy" || fail "a TCP address that was added is not served"
before=$(tcp)
reload "unix = $folder/b.sock" "listen = 127.0.0.1:0" "listen = 127.0.0.1:0"
expect_equal "mode" 755 "$(stat --format=%a "$folder/b.sock")"
expect_match "$server_log" 'notice: listening: 127.0.0.1:0$'
expect_equal "the first address" "$before" "$(tcp | cut -d ' ' -f 1)"
reload "unix = $folder/b.sock" "listen = 127.0.0.1:0"
expect_equal "address" "$before" "$(tcp)"
# Another address of the same port, while the old one is in use.
port=${before##*:} port=${port%%/*}
reload "unix = $folder/b.sock" "listen = 127.0.0.1:$port"
serves "nbd://127.0.0.1:$port/busy" || fail "the port is not served any more"
reload "unix = $folder/b.sock" "listen = 0.0.0.0:$port"
serves "nbd://127.0.0.2:$port/busy" || fail "a wider address of the same port is not served"

# ---- limits and times ----
reload "unix = $folder/b.sock" "max-connections = 1"
! serves "$(at b.sock)" || fail "a limit of connections is not in force"
reload "unix = $folder/b.sock" "max-connections = 10" "handshake-timeout = 1" "stall-timeout = 7" "memory-max = 64M"
serves "$(at b.sock)" || fail "a higher limit of connections is not in force"
"$PYTHON" -c 'import socket, sys, time
client = socket.socket(socket.AF_UNIX)
client.connect(sys.argv[1])
before = time.monotonic()
while client.recv(4096):
    pass
assert time.monotonic() - before < 8, time.monotonic() - before' "$folder/b.sock" || fail "the time of handshakes is the old one"

# ---- the log ----
reload "unix = $folder/b.sock" "log-level = debug"
expect_equal "level" debug "$(ctl --json status | "$PYTHON" -c 'import json, sys; print(json.load(sys.stdin)["log_level"])')"
reload "unix = $folder/b.sock"

# ---- TLS ----
address=("unix = $folder/b.sock" "listen = 127.0.0.1:0")
with_tls() {
    reload "${address[@]}" "[tls]" "certificates = $pki/server" "mode = $1"
}
reload "${address[@]}"
plain=$(tcp)
mkfifo "$test_dir/commands"
qemu-io --format raw "${plain}busy" <"$test_dir/commands" >"$test_dir/answers" 2>&1 &
client=$!
remember_pid "$client"
exec 7>"$test_dir/commands"
printf 'read 0 512\n' >&7
wait_until 30 grep -q "512/512" "$test_dir/answers"
with_tls on
over_tls="nbds://localhost:${plain##*:}busy?tls-certificates=$pki/client"
serves "$over_tls" || fail "TLS is not served after it was switched on: $(cat "$log_dir/size")"
serves "${plain}busy" || fail "clients without TLS are not served"
! is_logged 'is for those who use TLS by now' || fail "a client without TLS was ended"
with_tls require-tcp
wait_until 30 is_logged "export 'busy' is for those who use TLS by now; its connection is ended"
! serves "${plain}busy" || fail "a client without TLS is served"
serves "$over_tls" || fail "a client with TLS is not served"
serves "$(at b.sock)" || fail "a Unix socket is not served without TLS"
reload "${address[@]}"
serves "${plain}busy" || fail "clients without TLS are not served when TLS was switched off"
exec 7>&-
wait "$client" || true

# ---- what needs a restart says why ----
printf '%s\n' "busy-wait = 7" "threads = 3" >"$test_dir/more"
write_config "${address[@]}" "busy-wait = 7"
expect_equal "plan" "! [server]    busy-wait 50 -> 7: needs a restart (the loops of the threads are made with it)" \
    "$(ctl reload --dry-run)"

# ---- what fails, at each step, after those before have been prepared ----
# refuses SENTENCE LINE...
refuses() {
    local sentence=$1 before

    shift
    before=$(everything)
    write_config "$@"
    ! ctl reload >"$log_dir/reload" 2>&1 || fail "a reload succeeded that should have failed: $sentence"
    expect_match "$log_dir/reload" "$sentence"
    expect_equal "what is served after '$sentence'" "$before" "$(everything)"
}
reload "${address[@]}"
touch "$folder/file.sock"
new=("listen = 127.0.0.1:0" "unix = $folder/b.sock" "unix-mode = 0666" "unix = $folder/c.sock")
"$PYTHON" -c 'import socket, sys, time
server = socket.socket()
server.bind(("127.0.0.1", 0))
server.listen()
print(server.getsockname()[1], flush=True)
time.sleep(600)' >"$test_dir/taken" &
remember_pid $!
wait_until 30 test -s "$test_dir/taken"
refuses "server-cert.pem: there is no such file" "${new[@]}" "[tls]" "certificates = $folder/absent"
refuses "Unix socket '.*file.sock': a file of that name is there" "${new[@]}" "unix = $folder/file.sock"
refuses "address 127.0.0.1:[0-9]+ is in use" "${new[@]}" "listen = 127.0.0.1:$(cat "$test_dir/taken")" "[tls]" \
    "certificates = $pki/server"
refuses "export 'absent': image" "${new[@]}" "max-connections = 3" "log-level = error" "[tls]" "certificates = $pki/server" \
    "[export absent]" "image = $folder/absent" "raw = yes"
wait "$bench" || fail "a client was disturbed: $(cat "$log_dir/bench")"
rm "$folder/file.sock"
stop_nbdcrypt
[ -z "$(ls "$folder"/*.sock 2>"$log_dir/ls")" ] || fail "sockets are left: $(ls "$folder")"
