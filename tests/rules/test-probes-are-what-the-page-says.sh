#!/bin/bash
# Each static probe of the program is in nbdcrypt-service(7) with as many arguments, and no other is; the scripts for bpftrace
# parse and name only these; where this kernel lets them, they measure a server.
. "$(dirname "$0")/../support/functions.sh"

requires readelf --version
readelf --notes --wide "$NBDCRYPT" >"$test_dir/notes" 2>"$log_dir/readelf"
grep -q 'Provider: nbdcrypt' "$test_dir/notes" || skip "this build has no probes (systemtap-sdt-dev)"

# "request_end 2": its name, and how many arguments it has.
awk '/Provider: / { ours = $NF == "nbdcrypt" } /Name: / { name = $2 } /Arguments: / && ours { print name, NF - 1 }' \
    "$test_dir/notes" | sort -u >"$test_dir/probes"
awk '$1 == ".It" && $2 == "Li" && $4 == "Ar" && $3 ~ /^[a-z]+_[a-z]+$/ { print $3, NF - 4 }' \
    "$source_dir/docs/nbdcrypt-service.7" | sort >"$test_dir/page"
diff "$test_dir/probes" "$test_dir/page" >"$log_dir/difference" || fail "the page names other probes than the program has"
[ "$(wc -l <"$test_dir/probes")" -ge 12 ] || fail "only few probes were found"
grep -hoE 'nbdcrypt:[a-z]+_[a-z]+' "$source_dir"/dist/bpftrace/*.bt | cut -d : -f 2 | sort -u >"$test_dir/used"
! grep -vxFf <(cut -d ' ' -f 1 "$test_dir/probes") "$test_dir/used" || fail "a script names what is no probe"

command -v bpftrace >"$log_dir/bpftrace" || skip "bpftrace is not here; the probes were looked at"
[ "$(id -u)" -eq 0 ] || skip "bpftrace takes root; the probes were looked at"
disk=$(temp_file)
format_luks2 "$disk" 8M
start_nbdcrypt --control none --key-file "$passphrase" --name vm1 --limit-iops 100 "$disk"
for script in nbdlat nbdslow nbdthrottle; do
    bpftrace -d -p "$pid" "$source_dir/dist/bpftrace/$script.bt" 1 >"$test_dir/$script" 2>&1 || fail "$script.bt does not parse"
done

unshare --mount true 2>"$log_dir/unshare" || skip "no mounts of one's own here; the probes were looked at"
# measure PATTERN SCRIPT ARGUMENT...: $log_dir/measured has what the script printed while an image was read, again and again
# until that matches, or at its end.
measure() {
    local pattern=$1 script=$source_dir/dist/bpftrace/$2.bt

    shift 2
    # shellcheck disable=SC2016 # it is for the other shell
    unshare --mount bash -c '{ [ -e /sys/kernel/tracing/uprobe_events ] || mount -t tracefs none /sys/kernel/tracing; } && exec "$@"' \
        bash bpftrace -p "$pid" "$script" "$@" >"$log_dir/measured" 2>&1 &
    tracer=$!
    remember_pid "$tracer"
    wait_until 30 grep -qE 'Attaching|ERROR|mount:' "$log_dir/measured"
    for _ in {1..10}; do # it says that before it has done it
        nbdcopy "$uri" null: || fail "the image could not be read"
        ! grep -qE "$pattern" "$log_dir/measured" || break
    done
    kill -INT "$tracer"
    wait "$tracer" || true
}

measure only-at-its-end nbdlat
grep -q '@request_us' "$log_dir/measured" || skip "this kernel lets no probes be looked at; the scripts parse"
expect_match "$log_dir/measured" '@request_us\[[0-9]+, vm1, 0\]'
expect_match "$log_dir/measured" '@storage_us\[[0-9]+, vm1, 0\]'
expect_match "$log_dir/measured" '@crypto_us\[decrypt\]'
parked='@parked\[[0-9]+, [0-9]+\]: [0-9]+'
measure "$parked" nbdthrottle
expect_match "$log_dir/measured" "$parked"
slow='^[0-9]+ +[0-9]+ +0 +[0-9]+ +[0-9]+ +[0-9]+ +[0-9]+ +[0-9]+ +0$'
measure "$slow" nbdslow 0
expect_match "$log_dir/measured" "$slow"
stop_nbdcrypt
