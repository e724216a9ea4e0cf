#!/bin/bash
# fio writes at random places, from several jobs, and verifies the checksums of what it reads back.
. "$(dirname "$0")/../support/functions.sh"

requires cryptsetup --version
requires fio --enghelp=nbd

run_fio() {
    (cd "$test_dir" && fio --ioengine=nbd --uri="$uri" --verify=crc32c --verify_fatal=1 --verify_state_save=0 \
        --randseed=1 --iodepth=16 --output="$log_dir/fio" "$@") || fail "fio found something wrong"
    if grep -qE 'verify: bad|err=[ ]*[1-9]' "$log_dir/fio"; then
        fail "fio found something wrong"
    fi
}

check() {
    # Aligned and mixed with reads; then sizes that do not fit the sectors of 4096 bytes; then whole files.
    run_fio --name=random --rw=randrw --bs=4k --size=16M
    run_fio --name=odd --rw=randwrite --bs=1536 --size=6M --verify_backlog=64
    run_fio --name=large --rw=write --bs=1M --size=32M
    # Four jobs, each with a connection and a part of the disk of its own, which meet inside a sector.
    run_fio --name=jobs --rw=randwrite --bs=512 --numjobs=4 --size=1000448 --offset_increment=1000448 --group_reporting
}
on_each_pipeline 32M check
