#!/bin/bash
# Keys of exports are added, changed and removed by the control socket, while clients read and write, by whoever knows nothing
# but the name of the export; no other change waits for that, and a server that is killed amid it leaves a header that the old
# or the new key opens.
. "$(dirname "$0")/../support/functions.sh"

requires cryptsetup --version
requires nbdinfo --version

folder=$(temp_dir) control=$(temp_socket)
fast=(pbkdf=pbkdf2 pbkdf-iterations=1000)
umask 077
for key in old new third wrong; do
    printf '%s' "passphrase-$key" >"$folder/$key"
done
mkfifo "$folder/fifo"
truncate --size=1M "$folder/raw" "$folder/near"
make_disk() {
    expect_success format --type "$2" "${@:3}" --pbkdf pbkdf2 --pbkdf-iterations 1000 --size 8M --key-file "$folder/old" "$folder/$1"
}
make_disk two luks2
make_disk one luks1
make_disk apart luks2 --header "$folder/header"
make_disk read-only luks2
make_disk descriptor luks2
ctl() {
    timeout 100 "$NBDCRYPT" ctl --socket "$control" "$@"
}
# key VERB NAME [OLD [NEW]] [KEY=VALUE]...
key() {
    local words=("$1" "$2") option=--key-file

    shift 2
    for word in "$@"; do
        case $word in
        *=*) words+=("$word") ;;
        *) words+=("$option" "$folder/$word") option=--new-key-file ;;
        esac
    done
    ctl key "${words[@]}"
}
refused() {
    local why=$1

    shift
    if "$@" >"$log_dir/refused" 2>&1 </dev/null; then fail "'$*' was not refused"; fi
    expect_match "$log_dir/refused" "$why"
}
# opens HEADER-FILE KEY, for cryptsetup, which asks nobody else.
opens() {
    cryptsetup open --test-passphrase --disable-locks --key-file "$folder/$2" "$1" 2>"$log_dir/cryptsetup"
}
expect_keys() {
    local file=$1 one

    for one in "${@:2}"; do
        case $one in
        not-*) ! opens "$file" "${one#not-}" || fail "${one#not-} still opens $file" ;;
        *) opens "$file" "$one" || fail "$one does not open $file" ;;
        esac
    done
}
state_of() {
    ctl --json show "$1" | "$PYTHON" -c 'import json, sys; print(json.load(sys.stdin)["state"])'
}

of_old() {
    echo "$1=$folder/$1,key-file=$folder/old"
}
serve() {
    start_nbdcrypt --control "$control" --audit-file "$folder/audit" --export "$(of_old two)" --export "$(of_old one)" \
        --export "$(of_old apart),header=$folder/header" --export "$(of_old read-only),read-only" \
        --export "raw=$folder/raw,raw" "$@"
}
sandbox=(--sandbox strict --sandbox-image-paths "$folder")
! is_sanitized || sandbox=(--sandbox off)
serve "${sandbox[@]}"
: >"$log_dir/events"
ctl events >"$log_dir/events" 2>&1 &
remember_pid $!
wait_until 20 grep -q events.begin "$log_dir/events"

# ---- beside clients at work ----
loads=()
for name in two one apart; do
    "$(dirname "$NBDCRYPT")/nbdcrypt-bench" --verify --write 50 --time 4 --connections 2 --size 4M --timeout 60 --json \
        "nbd+unix:///$name?socket=$socket" >"$log_dir/bench-$name" 2>&1 &
    loads+=("$!")
    remember_pid $!
done
for name in two one apart; do
    file=$folder/$name
    [ "$name" != apart ] || file=$folder/header
    key add "$name" old new "${fast[@]}" >"$log_dir/added"
    expect_match "$log_dir/added" "^The new key is in keyslot 1 of export '$name'\.\$"
    expect_keys "$file" old new not-third
    key change "$name" old third "${fast[@]}" >"$log_dir/changed"
    expect_match "$log_dir/changed" 'the old one opens it no more'
    expect_keys "$file" not-old new third
    refused 'no keyslot opens with this key' key change "$name" old wrong "${fast[@]}"
    refused 'no keyslot opens with this key' key remove "$name" wrong
    key remove "$name" slot=1 >"$log_dir/removed" # of LUKS1 the changed key has another one
    expect_match "$log_dir/removed" "^The key in keyslot 1 of export '$name' is removed"
    [ "$name" != two ] || expect_keys "$file" not-new third
    wait_until 20 grep -qE "key.changed export='$name' reason=\"image '$folder/$name': a key was removed, keyslot 1" "$log_dir/events"
    wait_until 20 grep -qE "key.failed export='$name'" "$log_dir/events"
    # The last one.
    refused "holds the last key: .*force=yes" key remove "$name" third
    expect_keys "$file" third
    key add "$name" third old "${fast[@]}" >"$log_dir/added"
done
for load in "${loads[@]}"; do
    wait "$load" || fail "a client lost something: $(cat "$log_dir"/bench-*)"
done

# ---- a key by a descriptor, and what was there before; the last one with force ----
ctl key add two --key-fd 8 --new-key-fd 9 "${fast[@]}" new-slot=7 8<"$folder/old" 9<"$folder/third" >"$log_dir/added" 2>"$log_dir/known"
expect_match "$log_dir/added" 'in keyslot 7 of'
expect_match "$log_dir/known" 'this passphrase opens keyslot 0, too'
expect_equal "JSON" "7" "$(ctl --json key remove two slot=7 | "$PYTHON" -c 'import json, sys; print(json.load(sys.stdin)["slot"])')"
ctl key add two --key-file - --new-key-fd 9 "${fast[@]}" <"$folder/old" 9<"$folder/new" >"$log_dir/added" || fail "standard input"
expect_keys "$folder/two" new

# ---- what is refused ----
refused "it is raw" key add raw old new
mv "$folder/two" "$folder/moved"
cp "$folder/descriptor" "$folder/two"
refused "this is another volume" key add two old new
cmp "$folder/descriptor" "$folder/two"
mv "$folder/moved" "$folder/two"
refused "it is read-only" key add read-only old new
refused "there is no export 'none'" key remove none old
refused "slt: there is no such option: did you mean slot" key remove two old slt=1
refused "priority 'first' is none of" key add two old new priority=first
refused "there is no 'ctl key rename'" key rename two old new
refused "no passphrase for 'two'" ctl key remove two
refused "--new-key-file is for ctl key add and change" key remove two old new
exec 9<>"$folder/descriptor"
"$PYTHON" -c '
import sys
from varlink_client import Connection
client = Connection(sys.argv[1])
key = open(sys.argv[2])
client.send_with_fds(sys.argv[3].encode() + b"\0", [key.fileno(), 9])
assert "error" not in client.receive()
' "$control" "$folder/old" '{"method":"org.nbdcrypt.AddExport","parameters":{"name":"lent","image":"lent","key_fd":0,"image_fd":1}}' </dev/null
exec 9<&-
refused "came by a descriptor" key add lent old new

# ---- a suspended export stays so ----
ctl suspend two
key change two new wrong "${fast[@]}" >"$log_dir/changed"
expect_equal "state" suspended "$(state_of two)"
key change two wrong new "${fast[@]}" >"$log_dir/changed"
ctl resume two

# ---- nothing waits for a key that comes late, nor for one that takes its time; two of one export are one too many ----
exec 8<>"$folder/fifo" # a reader of it gets nothing yet, and no end
"$NBDCRYPT" ctl --socket "$control" key add one --key-file "$folder/fifo" --new-key-file "$folder/new" new-slot=6 "${fast[@]}" \
    >"$log_dir/late" 2>&1 8<&- &
late=$!
remember_pid "$late"
wait_until 20 grep -q "control: AddKey name='one' key_fd=.* options=new-slot" "$server_log"
refused "the keys of export 'one' are just being changed" key change one old new
key add two new third new-slot=9 pbkdf=argon2id pbkdf-iterations=8 pbkdf-memory-kib=65536 >"$log_dir/slow" &
slow=$!
remember_pid "$slow"
ctl add near "$folder/near" raw=yes
nbdinfo --size "nbd+unix:///near?socket=$socket" >"$log_dir/size"
ctl suspend apart
ctl resume apart
ctl remove near
kill -0 "$late" || fail "a key that had not come was had"
wait "$slow" || fail "a key was not added beside another one that does not come"
cat "$folder/old" >&8
exec 8<&-
wait "$late" || fail "a key that came late: $(cat "$log_dir/late")"
expect_keys "$folder/one" old new

# ---- so many at a time, and no more ----
exec 8<>"$folder/fifo"
waiting=()
for number in 1 2 3 4 5; do
    cp "$folder/descriptor" "$folder/copy$number"
    ctl add "copy$number" "$folder/copy$number" key-file="$folder/old"
    [ "$number" -lt 5 ] || break
    "$NBDCRYPT" ctl --socket "$control" key remove "copy$number" --key-file "$folder/fifo" >"$log_dir/copy$number" 2>&1 8<&- &
    waiting+=("$!")
    remember_pid $!
    wait_until 20 grep -q "control: RemoveKey name='copy$number'" "$server_log"
done
refused "4 keys are being changed already: try again" key add copy5 old new
exec 8<&-
for one in "${waiting[@]}"; do
    ! wait "$one" || fail "a key was removed by an empty passphrase"
done
key add copy5 old new "${fast[@]}" >"$log_dir/added"

# ---- who hangs up ----
"$PYTHON" -c '
import sys
from varlink_client import Connection
client = Connection(sys.argv[1])
files = [open(name) for name in sys.argv[2:4]]
client.send_with_fds(sys.argv[4].encode() + b"\0", [file.fileno() for file in files])
' "$control" "$folder/old" "$folder/wrong" \
    '{"method":"org.nbdcrypt.ChangeKey","parameters":{"name":"one","key_fd":0,"new_key_fd":1,"options":{"pbkdf-iterations":"1000"}}}' </dev/null
changed_or_not() {
    opens "$folder/one" wrong
}
wait_until 20 changed_or_not

# ---- what was recorded, and no key with it ----
stop_nbdcrypt
found_in "$folder/audit" -F '"type":"key.changed"'
found_in "$folder/audit" -F '"type":"key.failed"'
! grep -qrF "passphrase-" "$server_log" "$folder/audit" "$log_dir/events" || fail "a passphrase was told"

# ---- killed amid it: one of the two opens it, and what was there before ----
for round in 1 2 3 4 5 6; do
    cp "$folder/two" "$folder/killed"
    start_nbdcrypt --control "$control" --export "killed=$folder/killed,key-file=$folder/new"
    key change killed new wrong "${fast[@]}" >"$log_dir/killed" 2>&1 &
    caller=$!
    remember_pid "$caller"
    wait_until 20 grep -q "control: ChangeKey" "$server_log"
    "$PYTHON" -c 'import sys, time; time.sleep(int(sys.argv[1]) * 0.02)' "$round"
    kill_nbdcrypt
    wait "$caller" || true
    opens "$folder/killed" new || opens "$folder/killed" wrong || fail "neither key opens it, round $round"
done
