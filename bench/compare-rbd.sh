#!/bin/bash
# RBD images side by side, over a Ceph cluster of its own on the loopback (memstore: what is measured is not a disk):
#
#     fio-rbd      fio's own engine: librbd in the clear, without NBD
#     nbdcrypt     LUKS1 and LUKS2 over rbd, clients by NBD
#     qemu-luks    QEMU's luks driver over its rbd driver, by qemu-nbd
#
#     bench/compare-rbd.sh [ROUNDS [SECONDS]]      in the build folder; 5 rounds of 3 s by default
#
# A round takes each job, and for each job one after the other of the servers, the other way round in every second round.
# A line for each measurement, then the medians.  The CPU time is that of the process that has librbd in it, for a request.
here=$(cd "$(dirname "$0")" && pwd)
export TEST_TIMEOUT_S=3600
. "$here/../tests/support/functions.sh"
. "$here/../tests/support/ceph.sh"
# shellcheck source=bench/side-by-side.sh
. "$here/side-by-side.sh"

requires fio --version
ceph_start memstore none
sed -i 's/^\[client\]$/[client]\nrbd_cache = false/' "$ceph_conf"
export CEPH_CONF=$ceph_conf

size=256M
fast=(--pbkdf pbkdf2 --pbkdf-iterations 1000 --key-file "$passphrase")
for image in plain luks1 luks2; do
    ceph rbd create $image --size 288M
done
"$NBDCRYPT" format --type luks1 "${fast[@]}" "$(ceph_image luks1)" >"$log_dir/format"
"$NBDCRYPT" format --type luks2 --sector-size 4096 "${fast[@]}" "$(ceph_image luks2)" >"$log_dir/format"
servers='fio-rbd nbdcrypt-luks1 nbdcrypt-luks2 qemu-luks'
if ! qemu-nbd --version >/dev/null 2>&1 ||
    ! qemu-img info "rbd:rbd/luks1:conf=$ceph_conf" >"$log_dir/qemu" 2>&1; then
    note "qemu-nbd has no rbd here (qemu-utils, qemu-block-extra): left out"
    servers=${servers% qemu-luks}
fi

# Written once as a whole, so that no request finds a hole.
fill() {
    "$bench" --write 100 --pattern sequential --block 256K --size $size --passes 1 "$uri" >"$log_dir/fill"
}
fio --name=fill --ioengine=rbd --clientname=admin --pool=rbd --rbdname=plain --rw=write --bs=256k --iodepth=8 \
    --size=$size >"$log_dir/fill"
for image in luks1 luks2; do
    start_nbdcrypt --key-file "$passphrase" "$(ceph_image $image)"
    fill
    stop_nbdcrypt
done

# measure_fio JOB WRITE-PERCENT DEPTH: the CPU time is that of the whole process, with its start (some 0.1 s).
measure_fio() {
    local rw=randread

    [ "$2" = 0 ] || rw=randwrite
    "$PYTHON" - "$1" fio --name=job --ioengine=rbd --clientname=admin --pool=rbd --rbdname=plain --rw=$rw --bs=4k \
        --iodepth="$3" --size=$size --time_based --runtime="$seconds" --lat_percentiles=1 --output-format=json <<'EOF'
import json
import resource
import subprocess
import sys

job = json.loads(subprocess.run(sys.argv[2:], stdout=subprocess.PIPE, check=True).stdout)["jobs"][0]
usage = resource.getrusage(resource.RUSAGE_CHILDREN)
side = job["write" if "write" in sys.argv[1] else "read"]
cpu_us = (usage.ru_utime + usage.ru_stime) * 1e6 / side["total_ios"]
print("fio-rbd", sys.argv[1], round(side["iops"]), round(cpu_us, 1), round(side["lat_ns"]["percentile"]["50.000000"] / 1e3, 1))
EOF
}

start_qemu() {
    socket=$(temp_socket)
    uri="nbd+unix:///?socket=$socket"
    qemu-nbd --socket "$socket" --persistent --object "secret,id=s,file=$passphrase" --image-opts \
        "driver=luks,key-secret=s,file.driver=rbd,file.pool=rbd,file.image=luks1,file.conf=$ceph_conf" \
        >>"$log_dir/qemu" 2>&1 &
    pid=$!
    remember_pid "$pid"
    wait_until 20 test -S "$socket"
}

# measure SERVER JOB WRITE-PERCENT DEPTH
measure() {
    case $1 in
    fio-rbd) measure_fio "$2" "$3" "$4" ;;
    nbdcrypt-*)
        start_nbdcrypt --key-file "$passphrase" "$(ceph_image "${1#nbdcrypt-}")"
        measure_nbd "$1" "$2" --write "$3" --depth "$4" --size $size
        stop_nbdcrypt
        ;;
    qemu-luks)
        start_qemu
        measure_nbd "$1" "$2" --write "$3" --depth "$4" --size $size
        kill "$pid"
        wait "$pid" || true
        ;;
    esac
}

in_turn 'randread-32 0 32' 'randwrite-32 100 32' 'randread-1 0 1'
