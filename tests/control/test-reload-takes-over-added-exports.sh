#!/bin/bash
# When the files have an export that nbdcrypt ctl has added with the same image, a reload takes it over, with the key and the clients
# that it has, but who lost their rule go; with another image the reload fails as a whole.  What the plan says is what happens:
# what ctl has removed and the files have comes back, and what ctl has added and no file has is in no plan.
. "$(dirname "$0")/../support/functions.sh"

requires nbdinfo --version
folder=$(temp_dir) control=$(temp_socket) socket=$(temp_socket)
umask 022
config=$folder/nbdcrypt.conf
mkdir "$folder/conf.d"
own=$(id -u) other=$(($(id -u) + 12345))
plain=$(temp_file)
make_pattern "$plain" 1M
encrypt_by_nbdcrypt "$plain" "$folder/luks"
cp "$folder/luks" "$folder/moved"
printf '[export first]\nimage = memory:1M\nraw = yes\n' >"$config"
start_nbdcrypt --unix "$socket" --config "$config" --control "$control"
ctl() { "$NBDCRYPT" ctl --socket "$control" "$@"; }
at() { printf 'nbd+unix:///%s?socket=%s' "$1" "$socket"; }
names() { ctl --json exports | "$PYTHON" -c 'import json, sys; print(*sorted(one["name"] for one in json.load(sys.stdin)))'; }
# They come and go meanwhile.
without_clients() { sed -E 's/ \([0-9]+ clients?\)//'; }
# reloads LINE...: that is the plan, of a check and of a dry run, and what the reload prints; no LINE: nothing changes.
reloads() {
    local plan

    plan=$(printf '%s\n' "$@")
    expect_equal "dry run" "$plan" "$(ctl reload --dry-run | without_clients)"
    run_nbdcrypt check --config "$config" --running --socket "$control"
    expect_equal "status of check" 0 "$status"
    [ $# -eq 0 ] || found_in "$out" -F "$1"
    ctl reload >"$log_dir/reload" || fail "the reload failed"
    expect_equal "plan" "$plan" "$(without_clients <"$log_dir/reload")"
    expect_equal "plan of a second one" "" "$(ctl reload --dry-run)"
}
add_second() { # IMAGE [KEY=VALUE...]
    ctl add --key-fd 9 second "$1" "allow=uid:$own" "${@:2}" 9<"$passphrase" >"$log_dir/add"
}
is_attached() { [ "$(ctl status | sed -n 's/^clients  *//p')" -eq 1 ]; }
attach_second() {
    "$(dirname "$NBDCRYPT")/nbdcrypt-bench" --verify --write 50 --time 60 --json "$(at second)" >"$log_dir/bench" 2>&1 &
    bench=$!
    remember_pid "$bench"
    wait_until 30 is_attached
}
# second LINE...: the file of the second disk.
second() {
    printf '%s\n' '[export second]' "image = $folder/luks" "key-credential = second" "$@" >"$folder/conf.d/second.conf"
}

# ---- the second disk, whose key is given to the call alone ----
add_second "$folder/luks" "allow=uid:$other"
second "allow = uid:$own" "limit-iops = 100000" "description = of the file"
attach_second
reloads "~ second      taken over from nbdcrypt ctl: description, key-credential, allow, limit-iops off -> 100000"
expect_equal "limits" "limit-iops=100000" "$(ctl limits second)"
expect_match <(ctl show second) 'of the file'
kill -0 "$bench" || fail "its client was disconnected by being taken over"

# ---- the rule goes, and the client with it ----
second "allow = uid:$other"
reloads "~ second      description, allow, limit-iops 100000 -> off"
! wait "$bench" || fail "a client without a rule stays"
! nbdinfo --size "$(at second)" >"$log_dir/denied" 2>&1 || fail "the old rule is in force"

# ---- the same in one step ----
ctl remove second
add_second "$folder/luks"
nbdinfo --size "$(at second)" >"$log_dir/size"
attach_second
reloads "~ second      taken over from nbdcrypt ctl: key-credential, allow"
! wait "$bench" || fail "a client without a rule stays after the taking over"

# ---- another image ----
ctl remove second
add_second "$folder/moved"
second "allow = uid:$own"
sed -i 's/^key-credential.*/read-only = yes/; $a key-file = '"$passphrase" "$folder/conf.d/second.conf"
line="! second      image, read-only no -> yes, key-file: was added otherwise by nbdcrypt ctl: remove it there, or have it opened \
anew, and its clients disconnected, with --replace second"
for option in '' --dry-run; do
    ! ctl reload $option >"$log_dir/reload" 2>"$log_dir/refused" || fail "a reload beside another image succeeds"
    expect_match "$log_dir/refused" "export 'second' was added by nbdcrypt ctl, and not as the files have it"
done
expect_equal "plan of what is refused" "$line" "$(without_clients <"$log_dir/reload")"
found_in "$server_log" -F "configuration: $line"
run_nbdcrypt check --config "$config" --running --socket "$control"
expect_equal "status of check" 1 "$status"
cat "$out" "$err" >"$log_dir/check"
found_in "$log_dir/check" -F "$line"
expect_match <(ctl show second) "$folder/moved"
ctl reload --replace second >"$log_dir/reload"
expect_match <(ctl show second) "$folder/luks"
expect_equal "plan" "" "$(ctl reload --dry-run)"

# ---- what ctl has removed ----
ctl remove first
expect_equal "exports" "second" "$(names)"
reloads "+ first       added: memory:1M"
expect_equal "exports" "first second" "$(names)"

ctl remove first
expect_equal "exports" "second" "$(names)"
sed -i 's/^image = memory:1M/image = memory:2M/' "$config"
reloads "+ first       added: memory:2M"

# ---- what ctl has added, where a file of its own has gone ----
ctl add gamma memory:1M raw=yes --persist >"$log_dir/add"
reloads "~ gamma       taken over from nbdcrypt ctl"
ctl remove gamma --persist
ctl add gamma memory:1M raw=yes >"$log_dir/add"
reloads
expect_equal "exports" "first gamma second" "$(names)"
stop_nbdcrypt
! grep -q 'gamma  *removed' "$server_log" || fail "the log says that it was removed"

# ---- what ctl has removed, and can only be opened at the start, keeps no reload from what it can do ----
printf '[export first]\nimage = memory:1M\nraw = yes\n' >"$config"
printf '[export second]\nimage = %s\nkey-file = -\n' "$folder/luks" >"$folder/conf.d/second.conf"
start_nbdcrypt --unix "$socket" --config "$config" --control "$control" <"$passphrase"
ctl remove second
sed -i 's/memory:1M/memory:3M/; s/^raw/description = x\nraw/' "$config"
printf 'description = more\n' >>"$folder/conf.d/second.conf"
ctl reload --replace first >"$log_dir/reload"
expect_equal "exports" "first" "$(names)"
expect_match "$server_log" "warning: export 'second' was removed, and can only be opened at the start"
expect_equal "plan" "" "$(ctl reload --dry-run)"
stop_nbdcrypt
