#!/bin/bash
# What applications record of a disk comes back byte for byte, within limits; it goes with the export, and clients do not see it.
. "$(dirname "$0")/../support/functions.sh"

requires nbdinfo --version

image=$(temp_file)
truncate --size=1M "$image"
control=$(temp_socket)
start_nbdcrypt --control "$control" --raw --export "vm=$image"

ctl() {
    run_nbdcrypt ctl --socket "$control" "$@"
    [ "$status" -eq 0 ] || fail "'ctl $*' ended with status $status: $(cat "$err")"
}

# keeps NAMESPACE FILE
keeps() {
    ctl metadata set vm "$1" "$2"
    ctl metadata get vm "$1"
    cmp "$2" "$out" || fail "metadata '$1' came back otherwise"
}

value=$test_dir/value
printf '{"version":"2015.1", "name":"vm1",\n\t"flavor":{"vcpus":1,"memory":512},"z":1,"a":2 , "u":"\xc3\xbc\\u0007"}\n\n' >"$value"
keeps org.openstack.nova "$value"
printf 'no JSON, and no line end' >"$value"
keeps https://example.org/app "$value"
head -c 16384 /dev/zero | tr '\0' x >"$value"
keeps org.example.large "$value"
echo >>"$value"
run_nbdcrypt ctl --socket "$control" metadata set vm org.example.large "$value"
expect_equal "status of a value of 16 KiB and a byte" 1 "$status"
expect_success ctl --socket "$control" show vm
expect_match "$out" '^metadata +org.openstack.nova https://example.org/app org.example.large$'
ctl metadata get vm
expect_equal "namespaces" "org.openstack.nova https://example.org/app org.example.large" "$(tr '\n' ' ' <"$out" | sed 's/ $//')"

# Refused, and nothing has changed.
ctl --json metadata get vm
cp "$out" "$test_dir/before"
for bad in 'no-namespace' 'two words.here' ''; do
    echo '{}' >"$value"
    run_nbdcrypt ctl --socket "$control" metadata set vm "$bad" "$value"
    expect_equal "status of the namespace '$bad'" 1 "$status"
done
printf '{"not": "closed"' >"$value"
run_nbdcrypt ctl --socket "$control" metadata set vm org.example.bad "$value"
expect_equal "status of what is nearly JSON" 1 "$status"
printf 'a\0b' >"$value"
run_nbdcrypt ctl --socket "$control" metadata set vm org.example.bad "$value"
expect_equal "status of a zero byte" 1 "$status"
expect_failure 1 "there is no metadata 'org.example.none'" ctl --socket "$control" metadata get vm org.example.none
expect_failure 1 "there is no metadata 'org.example.none'" ctl --socket "$control" metadata remove vm org.example.none
expect_failure 1 "there is no export 'none'" ctl --socket "$control" metadata get none
expect_failure 2 "write: nbdcrypt ctl metadata get NAME [NAMESPACE], set NAME NAMESPACE [FILE], or remove NAME NAMESPACE" \
    ctl --socket "$control" metadata put vm x.y
ctl --json metadata get vm
cmp "$test_dir/before" "$out" || fail "something has changed"

# As many as may be; then one more.
for i in {1..13}; do
    echo "{\"n\":$i}" | "$NBDCRYPT" ctl --socket "$control" metadata set vm "org.example.n$i"
done
echo '{}' | "$NBDCRYPT" ctl --socket "$control" metadata set vm org.example.more 2>"$log_dir/more" && fail "17 namespaces are kept"
ctl metadata remove vm org.example.n7
echo '{}' | "$NBDCRYPT" ctl --socket "$control" metadata set vm org.example.more

! nbdinfo --json "nbd+unix:///vm?socket=$socket" | grep -q openstack || fail "clients are told"
expect_success ctl --socket "$control" remove vm
expect_success ctl --socket "$control" add vm "$image" raw=yes
ctl metadata get vm
[ ! -s "$out" ] || fail "another export has the metadata of one that went: $(cat "$out")"
stop_nbdcrypt
