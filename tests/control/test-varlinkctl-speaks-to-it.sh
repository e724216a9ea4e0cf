#!/bin/bash
# systemd's varlinkctl, which is nobody of ours, talks to the control socket: it reads the interface and finds it in order, calls
# methods, is told errors, reads replies that come one by one, and changes something.
#
# Environment: VARLINKCTL_CACHE, a folder for the program, which is downloaded once where this system has none that is new
# enough (default: in the folder of nbdcrypt).
. "$(dirname "$0")/../support/functions.sh"

cache=${VARLINKCTL_CACHE:-$(dirname "$NBDCRYPT")/tests/varlinkctl-cache}
# validate-idl came with systemd 257.
if command -v varlinkctl >/dev/null && varlinkctl --help | grep -q validate-idl; then
    program=varlinkctl
elif ! command -v dpkg >/dev/null || ! command -v apt-get >/dev/null; then
    skip "varlinkctl of systemd 257 or later comes from Debian's packages, and this is not Debian"
elif bash "$support_dir/newer-programs.sh" "$cache" varlinkctl "systemd libsystemd-shared libacl1 libapparmor1 libaudit1 libblkid1 libcap2
    libcap-ng0 libcrypt1 libmount1 libpam0g libpcre2-8-0 libseccomp2 libselinux1 libssl3t64 libzstd1 zlib1g" >"$log_dir/program" 2>&1; then
    program=$cache/varlinkctl
else
    [ "${CI-}" != true ] || fail "varlinkctl, which CI must be able to download, is not there"
    skip "varlinkctl is not there: $(tail -n 1 "$log_dir/program")"
fi

control=$(temp_socket)
start_nbdcrypt --raw --control "$control" --export a=memory:1M --export b=memory:2M

# they_say ARGUMENT...: what varlinkctl prints, in $said.
they_say() {
    said=$(timeout 30 "$program" --no-pager "$@" 2>"$log_dir/varlinkctl")
}

# they_fail ERROR ARGUMENT...: the call is answered with that error.
they_fail() {
    ! timeout 30 "$program" --no-pager "${@:2}" >"$log_dir/varlinkctl" 2>&1 || fail "it did not fail: ${*:2}"
    found_in "$log_dir/varlinkctl" -F "$1" || fail "no $1: ${*:2}"
}

# holds EXPRESSION, of the lines `said`
holds() {
    "$PYTHON" -c "import json, sys; it = [json.loads(line.strip('\x1e')) for line in sys.stdin]; assert $1, it" <<<"$said" ||
        fail "not so: $1"
}

they_say info "$control"
grep -qF "org.nbdcrypt" <<<"$said" || fail "the interface is not named"
they_say list-methods "$control" org.nbdcrypt
methods=$(sed -n 's/^method \([A-Za-z]*\)(.*/\1/p' "$source_dir/server/control/org.nbdcrypt.varlink" | sort)
expect_equal "methods" "$methods" "$(grep -o '[A-Za-z]*$' <<<"$said" | sort)"
they_say introspect "$control" org.nbdcrypt
they_say introspect "$control" org.varlink.service
for interface in org.nbdcrypt org.varlink.service; do
    timeout 30 "$program" validate-idl "$source_dir/server/control/$interface.varlink" >"$log_dir/valid" 2>&1 ||
        fail "the text of $interface is not in order"
done

they_say --json=short call "$control" org.nbdcrypt.Status '{}'
holds "it[0]['status']['exports'] == 2 and it[0]['status']['state'] == 'serving'"
they_say --json=short --more call "$control" org.nbdcrypt.ListExports '{}'
holds "[one['export']['name'] for one in it] == ['a', 'b']"
they_fail org.varlink.service.ExpectedMore call "$control" org.nbdcrypt.ListExports '{}'
they_fail org.varlink.service.MethodNotFound call "$control" org.nbdcrypt.Nothing '{}'
they_fail org.varlink.service.InvalidParameter call "$control" org.nbdcrypt.Status '{"x":1}'
they_fail org.nbdcrypt.NoSuchExport call "$control" org.nbdcrypt.ListExports '{"name":"none"}'

timeout 60 "$program" --no-pager --json=short --more --timeout=infinity call "$control" org.nbdcrypt.Events \
    '{"type":"export"}' >"$test_dir/events" 2>"$log_dir/events" &
remember_pid $!
wait_until 30 grep -q events.begin "$test_dir/events"
they_say --json=short call "$control" org.nbdcrypt.AddExport '{"name":"c","image":"memory:1M","options":{"raw":"yes"}}'
holds "it[0]['changed']"
wait_until 30 grep -q '"export.added","export":"c"' "$test_dir/events"
they_say --json=short call "$control" org.nbdcrypt.RemoveExport '{"name":"c"}'
wait_until 30 grep -q '"export.removed","export":"c"' "$test_dir/events"
they_fail org.nbdcrypt.Conflict call "$control" org.nbdcrypt.Rescan '{"if_revision":0}'
stop_nbdcrypt
