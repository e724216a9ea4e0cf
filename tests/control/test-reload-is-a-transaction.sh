#!/bin/bash
# The configuration of a running server is read again: what the plan says happens, all of it or nothing; clients of exports that
# stay see nothing of it, whatever comes, goes and changes beside them, and what can't be done is told and leaves all as it was.
. "$(dirname "$0")/../support/functions.sh"

requires nbdinfo --version

folder=$(temp_dir) control=$(temp_socket)
chmod 755 "$folder"
umask 022
config=$folder/nbdcrypt.conf threads=2
mkdir "$folder/conf.d"
plain=$(temp_file)
make_pattern "$plain" 1M
encrypt_by_nbdcrypt "$plain" "$folder/luks"
truncate --size=16M "$folder/busy"
for name in one two three; do
    truncate --size=1M "$folder/$name"
done

# write_config [LINE...]: what is always there, and these lines.
write_config() {
    {
        printf '%s\n' "[server]" "threads = $threads" "[export busy]" "image = $folder/busy" "raw = yes"
        [ $# -eq 0 ] || printf '%s\n' "$@"
    } >"$config"
}
export_of() {
    printf '%s\n' "[export $1]" "image = $folder/$1" "raw = yes"
}
ctl() {
    "$NBDCRYPT" ctl --socket "$control" "$@"
}
names() {
    ctl --json exports | "$PYTHON" -c 'import json, sys; print(*(one["name"] for one in json.load(sys.stdin)))'
}
everything() {
    ctl --json exports
    ctl --json status | grep -v -e since -e clients -e handshakes
}
at() {
    printf 'nbd+unix:///%s?socket=%s' "$1" "$socket"
}
# refuses SENTENCE [OPTION...]: a reload fails with it, and all is as it was.
refuses() {
    local sentence=$1 before

    shift
    before=$(everything)
    ! ctl reload "$@" >"$log_dir/reload" 2>&1 || fail "a reload succeeded that should have failed: $sentence"
    expect_match "$log_dir/reload" "$sentence"
    expect_equal "what is served after '$sentence'" "$before" "$(everything)"
}
# is_refused SENTENCE [OPTION...]: the same where nothing has to be opened to know it, so that --dry-run says it, too.
is_refused() {
    refuses "$@"
    ! ctl reload --dry-run "${@:2}" >"$log_dir/dry-run" 2>&1 || fail "a dry run does not foresee: $1"
    expect_match "$log_dir/dry-run" "$1"
}
# plans LINE...: what --dry-run prints.
plans() { # clients that have gone may be counted for a moment
    expect_equal "plan" "$(printf '%s\n' "$@")" "$(ctl reload --dry-run | sed -E 's/ \([0-9]+ clients?\)//')"
}

write_config "$(export_of one)"
start_nbdcrypt --control "$control" --config "$config"

# Somebody is at work on an export that stays as it is, and somebody else only holds another one.
"$(dirname "$NBDCRYPT")/nbdcrypt-bench" --verify --write 50 --time 10 --connections 2 --json "$(at busy)" \
    >"$log_dir/bench" 2>&1 &
bench=$!
remember_pid "$bench"

# ---- what comes and goes ----
write_config "$(export_of two)" "$(export_of three)" "[export locked]" "image = $folder/luks" "key-file = $passphrase"
plans "+ locked      added: $folder/luks" "- one         removed" "+ three       added: $folder/three" \
    "+ two         added: $folder/two"
expect_equal "exports after a dry run" "busy one" "$(names)"
ctl reload >"$log_dir/plan"
expect_equal "exports" "busy locked three two" "$(names | tr ' ' '\n' | sort | xargs)"
expect_equal "data" "$(cksum <"$plain")" "$(nbdcopy "$(at locked)" - | cksum)"
! nbdinfo --size "$(at one)" >"$log_dir/gone" 2>&1 || fail "an export that was removed is served"
plans ""

# ---- what changes live ----
write_config "$(export_of two)" "description = the second" "$(export_of three)" "allow = uid:4294967294"
plans "- locked      removed" "~ three       allow" "~ two         description"
ctl reload >"$log_dir/plan"
expect_match "$log_dir/plan" '^~ three +allow$'
expect_equal "description" "the second" "$(nbdinfo --json "$(at two)" |
    "$PYTHON" -c 'import json, sys; print(json.load(sys.stdin)["exports"][0]["description"])')"
! nbdinfo --size "$(at three)" >"$log_dir/hidden" 2>&1 || fail "rules of a reload are not in force"
write_config "$(export_of two)" "$(export_of three)"
ctl reload >"$log_dir/plan"
nbdinfo --size "$(at three)" >"$log_dir/there"

# ---- what fails, at each step ----
write_config "$(export_of two)" "alow = uid:0" "$(export_of three)"
is_refused "nbdcrypt.conf:[0-9]+: export 'two': unknown key 'alow' \(allow\?\)"
write_config "$(export_of two)" "[export absent]" "image = $folder/absent" "raw = yes"
refuses "export 'absent': image '.*absent'"
write_config "$(export_of one)" "[export locked]" "image = $folder/luks" "key-file = $folder/one"
refuses "export 'locked'"
write_config "$(export_of one)" "[export typed]" "image = $folder/luks"
is_refused "export 'typed' can't be opened while the server runs"
write_config "$(export_of one)" "[tls]" "certificates = $folder/absent"
is_refused "$folder/absent/server-cert.pem: there is no such file"
write_config "$(export_of two)" "read-only = yes" "$(export_of three)"
is_refused "export 'two' would be opened anew, and its clients disconnected: name it with --replace"
is_refused "export 'two' can't be opened anew while it has the same image in use itself" --replace two
is_refused "export 'three' does not have to be replaced" --replace three
is_refused "there is no export 'twoo' that could be replaced: did you mean 'two'\?" --replace twoo
is_refused "there is no export 'disk' that could be replaced\$" --replace two --replace disk
expect_match "$log_dir/dry-run" '^! two +read-only no -> yes: opened anew'
mv "$config" "$config.away"
is_refused "nbdcrypt.conf"
mv "$config.away" "$config"

# ---- what is opened anew, and what only a restart changes ----
cp "$folder/two" "$folder/other"
threads=3
threads_change="! [server]    threads 2 -> 3: needs a restart (each has rings, buffers and pipelines of its own, and clients stay on theirs)"
write_config "[export two]" "image = $folder/other" "raw = yes" "$(export_of three)"
plans "! two         image: opened anew, and its clients disconnected, with --replace two" \
    "$threads_change"
"$PYTHON" -c '
import json, sys
reply = json.load(sys.stdin)
keys = {"name": "threads", "before": "2", "after": "3"}
assert [(one["action"], one.get("export"), one.get("section")) for one in reply["plan"]] == [
    ("replace", "two", None), ("restart", None, "server")], reply
assert reply["plan"][0]["keys"] == [{"name": "image"}] and reply["plan"][1]["keys"] == [keys], reply
assert reply["plan"][0]["image"] == sys.argv[1] and reply["plan"][1]["text"].endswith(": needs a restart (each has rings, buffers and pipelines of its own, and clients stay on theirs)"), reply
assert "refused" not in reply, reply' "$folder/other" <<<"$(ctl reload --json --dry-run --replace two)"
ctl reload --replace two >"$log_dir/plan"
expect_equal "image" "$folder/other" "$(ctl --json show two |
    "$PYTHON" -c 'import json, sys; print(json.load(sys.stdin)["image"])')"
plans "$threads_change"
expect_match "$server_log" 'threads 2 -> 3: needs a restart'

# ---- by a signal, however often ----
write_config "$(for ((i = 0; i < 40; i++)); do
    printf '%s\n' "[export many $i]" "image = memory:1M" "raw = yes"
done)"
for ((i = 0; i < 200; i++)); do
    kill -HUP "$pid"
done
many_are_there() {
    [ "$(names | grep -o many | wc -l)" -eq "$1" ]
}
wait_until 30 many_are_there 40
write_config
kill -HUP "$pid"
wait_until 30 many_are_there 0
write_config "nonsense"
kill -HUP "$pid"
wait_until 30 grep -qF "the reload failed, and nothing has changed: " "$server_log"
expect_equal "exports" "busy" "$(names)"
write_config

# ---- beside a client at work ----
while kill -0 "$bench" 2>"$log_dir/gone"; do
    write_config "$(for ((i = 0; i < 100; i++)); do
        printf '%s\n' "[export many $i]" "image = memory:1M" "raw = yes" "description = $RANDOM"
    done)"
    ctl reload >"$log_dir/plan"
    sed -i 's/^description = .*/description = another/' "$config"
    ctl reload >"$log_dir/plan"
    write_config
    ctl reload >"$log_dir/plan"
done
wait "$bench" || fail "a client of an export that stays was disturbed"
stop_nbdcrypt

# ---- what the service manager is told ----
write_config
python - "$NBDCRYPT" "$config" "$test_dir/notify" <<'EOF'
import os
import signal
import socket
import subprocess
import sys
import time
from nbd_client import *

program, config, path = sys.argv[1:]
notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
notify.bind(path)
notify.settimeout(30)
process = subprocess.Popen([program, "serve", "--unix", path + ".sock", "--control", "none", "--config", config],
                           env=dict(os.environ, NOTIFY_SOCKET=path), stdout=subprocess.PIPE)


def heard(word):
    while True:
        lines = notify.recv(4096).decode().split("\n")
        if any(line.startswith(word) for line in lines):
            return dict(line.split("=", 1) for line in lines)


heard("READY=1")
before = time.monotonic()
process.send_signal(signal.SIGHUP)
said = heard("RELOADING=1")
assert before <= int(said["MONOTONIC_USEC"]) / 1e6 + 0.001 <= time.monotonic() + 0.002, said
equal("status", heard("READY=1")["STATUS"], "1 of 1 exports are served")
with open(config, "a") as file:
    file.write("alow = x\n")
process.send_signal(signal.SIGHUP)
heard("RELOADING=1")
said = heard("READY=1")["STATUS"]
assert said.startswith("The reload failed, nothing has changed: ") and "alow" in said, said
process.send_signal(signal.SIGTERM)
equal("exit status", process.wait(30), 0)
EOF
