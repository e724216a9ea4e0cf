#!/bin/bash
# `nbdcrypt tls psk` and psktool add to each other's files, and nbdkit, libnbd and QEMU take the keys; no key is
# printed, and none is lost.
. "$(dirname "$0")/../support/functions.sh"
. "$(dirname "$0")/../support/tls-peers.sh"

requires psktool --version
requires nbdkit --version
requires nbdcopy --version
disk=$(temp_file) work=$(temp_dir)
make_pattern "$disk" 1M
cd "$work"

expect_success tls psk keys.psk alice
! grep -qiE '[0-9a-f]{16}' "$out" || fail "a key was printed"
expect_match keys.psk '^alice:[0-9a-f]{64}$'
expect_equal "mode" 600 "$(stat --format=%a keys.psk)"
psktool -u bob -p keys.psk >/dev/null
expect_success tls psk keys.psk 'carol é'
expect_equal "users" "alice bob carol é" "$(cut -d : -f 1 keys.psk | paste -sd ' ')"
expect_equal "keys" 3 "$(cut -d : -f 2 keys.psk | sort -u | grep -cE '^[0-9a-f]{64}$')"

note "what is there stays as it is"
sum=$(sha256_of keys.psk)
expect_failure 1 "'bob' has a key in './keys.psk' already; give --force to replace it" tls psk keys.psk bob
expect_equal "the file" "$sum" "$(sha256_of keys.psk)"
cp keys.psk before
expect_success tls psk keys.psk bob --force
expect_equal "lines that changed" 1 "$(sort keys.psk before | uniq -u | cut -d : -f 1 | sort -u | wc -l)"
expect_equal "users" "alice bob carol é" "$(cut -d : -f 1 keys.psk | sort | paste -sd ' ')"
printf 'dave:00112233445566778899aabbccddeeff' >no-newline.psk
expect_success tls psk no-newline.psk erin
expect_match no-newline.psk '^dave:00112233445566778899aabbccddeeff$'
expect_match no-newline.psk '^erin:[0-9a-f]{64}$'
printf 'not a key\n' >other
expect_failure 1 "'./other' is not a file of pre-shared keys: line 1 is not USER:KEY with a key in hexadecimal" \
    tls psk other alice
expect_equal "the other file" "not a key" "$(cat other)"
chmod 0640 keys.psk
ln -s keys.psk link.psk
expect_success tls psk link.psk frank
expect_equal "mode of a file that a group may read" 640 "$(stat --format=%a keys.psk)"
expect_match keys.psk '^frank:'
[ -L link.psk ] || fail "the link was replaced"
expect_failure 1 "'./nowhere' can't be opened: No such file or directory" tls psk ./nowhere/keys.psk alice

note "a key is removed, and nothing else"
cp keys.psk more.psk
chmod 0640 more.psk
sort keys.psk >before
expect_success tls psk --remove more.psk bob
expect_equal "lines that went" bob "$(sort more.psk | comm -3 before - | cut -d : -f 1)"
expect_equal "mode" 640 "$(stat --format=%a more.psk)"
expect_failure 1 "'bob' has no key in './more.psk'" tls psk --remove more.psk bob
expect_failure 2 "--force and --remove contradict each other" tls psk --remove --force more.psk alice
for user in alice 'carol é' frank; do
    expect_success tls psk more.psk "$user" --remove
done
expect_equal "size without keys" 0 "$(size_of more.psk)"
expect_failure 1 "'alice' has no key in './nosuch.psk'" tls psk --remove nosuch.psk alice
[ ! -e nosuch.psk ] || fail "a file was made to remove something from"

note "several at once"
adders=()
for i in {1..8}; do
    "$NBDCRYPT" tls psk many.psk "user$i" >/dev/null &
    adders+=($!)
done
for adder in "${adders[@]}"; do
    wait "$adder"
done
expect_equal "users" 8 "$(grep -cE '^user[1-8]:[0-9a-f]{64}$' many.psk)"

note "servers and clients"
mkdir -m 700 for-qemu
cp keys.psk for-qemu/
# libnbd does not decode the user of a URI, so one with other characters is for QEMU only.
read_as() {
    if [[ $1 != *[!a-z]* ]]; then
        rm -f copy
        nbdcopy "nbds://$1@localhost:$port/?tls-psk-file=keys.psk" copy
        cmp copy "$disk"
    fi
    qemu-img compare -U --image-opts --object "tls-creds-psk,id=tls0,endpoint=client,dir=for-qemu,username=$1" \
        "driver=raw,file.filename=$disk" "driver=nbd,host=localhost,port=$port,tls-creds=tls0" \
        >>"$log_dir/qemu-img" 2>&1
}
serve_by_nbdkit "$disk" --tls-psk=keys.psk
read_as alice
read_as bob
read_as 'carol é'
expect_refused nbdinfo "nbds://erin@localhost:$port/?tls-psk-file=no-newline.psk"
end_peer
# It opens the file when a client comes, from another folder.
serve_by_qemu_nbd "$disk" "tls-creds-psk,dir=$work/for-qemu"
read_as alice
end_peer
