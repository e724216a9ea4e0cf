#!/bin/bash
# Who may attach an export stays as it was when nbdcrypt ctl gives it another image and says nothing of rules, and what is added
# after a reload goes on from the defaults of that, not from those that the server began with.  Nothing is written into the
# configuration under a name that it has, whose rules would be joined at the next start.
. "$(dirname "$0")/../support/functions.sh"

requires nbdinfo --version
folder=$(temp_dir) control=$(temp_socket) socket=$(temp_socket)
config=$folder/nbdcrypt.conf
other=$(($(id -u) + 12345))
printf '[export kept]\nimage = memory:1M\nraw = yes\nallow = uid:%s\n' "$other" >"$config"
chmod 600 "$config"
start_nbdcrypt --unix "$socket" --config "$config" --control "$control"
ctl() { expect_success ctl --socket "$control" "$@"; }
refused() {
    ! nbdinfo --size "nbd+unix:///$1?socket=$socket" >/dev/null 2>&1 || fail "everybody may attach '$1' $2"
}
refused kept "at the start"

# ---- another image ----
ctl replace kept memory:2M raw=yes
refused kept "once it has another image"
ctl --json show kept
expect_match "$out" "\"uid:$other\""
ctl replace kept memory:3M raw=yes "allow=uid:$(id -u)" # what is said holds
expect_equal "size" $((3 << 20)) "$(nbdinfo --size "nbd+unix:///kept?socket=$socket")"
ctl replace kept memory:4M raw=yes # and is what stays from then on
ctl --json show kept
expect_match "$out" "\"uid:$(id -u)\""
ctl replace kept memory:5M raw=yes allow=any
ctl replace kept memory:6M raw=yes
sed -i 's/memory:1M/memory:6M/' "$config"
expect_equal "size" $((6 << 20)) "$(nbdinfo --size "nbd+unix:///kept?socket=$socket")"

# ---- other defaults ----
ctl add before memory:1M raw=yes
expect_equal "size" $((1 << 20)) "$(nbdinfo --size "nbd+unix:///before?socket=$socket")"
printf '[defaults]\nallow = uid:%s\nlimit-iops = 777\n' "$other" >>"$config"
ctl reload
ctl add after memory:1M raw=yes
refused after "beside the rules of the configuration"
sed -i '/limit-iops/d' "$config"
ctl reload # what the one before has read is gone, but not for exports that go on from it
ctl --json show after
expect_match "$out" "\"uid:$other\""
ctl --json show after
expect_match "$out" '777'
ctl remove after

# ---- rules that change while the new image is opened ----
stop_nbdcrypt
printf 'somebody:0123456789abcdef0123456789abcdef\n' >"$folder/psk"
chmod 600 "$folder/psk"
plain=$(temp_file) luks=$(temp_file)
truncate --size=1M "$plain"
encrypt_by_nbdcrypt "$plain" "$luks"
mkfifo "$folder/key"
write() { # [LINE...]
    printf '%s\n' "[tls]" "psk = $folder/psk" "mode = on" "[export kept]" "image = memory:1M" "raw = yes" "$@" >"$config"
}
write
start_nbdcrypt --sandbox-programs cat --unix "$socket" --config "$config" --control "$control"
for rule in "tls-only = yes" "allow = uid:$other"; do
    "$NBDCRYPT" ctl --socket "$control" replace kept "$luks" "key-command=cat $folder/key" >"$log_dir/replace" 2>&1 &
    replace=$!
    remember_pid "$replace"
    exec 7>"$folder/key" # it waits for its key
    write "$rule"
    ctl reload
    cat "$passphrase" >&7
    exec 7>&-
    ! wait "$replace" || fail "'$rule', which came meanwhile, is gone"
    expect_match "$log_dir/replace" "the rules of export 'kept' were changed while its new image was opened: call it once more"
    write
    ctl reload
done

# ---- the next start ----
ctl remove kept --now
expect_failure 1 \
    "the configuration has an export 'kept' already, which this would be added to at the next start: take it out of the files, reload, and call it once more" \
    ctl --socket "$control" add kept memory:1M raw=yes allow=uid:1 --persist
mkdir -p "$folder/conf.d"
[ -z "$(ls "$folder/conf.d")" ] || fail "it is written nevertheless"
stop_nbdcrypt
