# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154 # what is set here is for the tests, or by functions.sh
# A real Ceph cluster of one monitor and one OSD on the loopback, for tests.  Sourced after functions.sh:
#
#     . "$(dirname "$0")/../support/ceph.sh"
#     ceph_start memstore none         up in a second, with the pool "rbd"
#     ceph rbd create disk --size 64M  a program of Ceph
#     start_nbdcrypt --raw "$(ceph_image disk)"
#
# It ends with the test.  There is no manager, and no python.
#
# Environment: CEPH_CACHE, a folder for Ceph's programs, which are downloaded once (default: in the folder of
# nbdcrypt).

# The thread sanitizer does not see how the libraries of Ceph keep their threads apart.  Threads are left behind where
# a cluster that is silent keeps a server from ending (--shutdown-timeout).
export TSAN_OPTIONS=${TSAN_OPTIONS-}:ignore_noninstrumented_modules=1:report_thread_leaks=0

case $("$NBDCRYPT" info rbd: 2>&1 || true) in
*'no backend is called'*) skip "nbdcrypt was built without librbd" ;;
esac

ceph_cache=${CEPH_CACHE:-$(dirname "$NBDCRYPT")/tests/ceph-cache}
ceph_dir=$test_dir/ceph
ceph_conf=$ceph_dir/ceph.conf
ceph_programs=$(dirname "$NBDCRYPT")/tests/support

if ! command -v dpkg >/dev/null || ! command -v apt-get >/dev/null; then
    skip "Ceph's programs come from Debian's packages, and this is not Debian"
fi
if ! bash "$support_dir/ceph-programs.sh" "$ceph_cache" >"$log_dir/ceph-programs" 2>&1; then
    [ "${CI-}" != true ] || fail "Ceph's programs, which CI must be able to download, are not there"
    skip "Ceph's programs are not there: $(tail -n 1 "$log_dir/ceph-programs")"
fi
ceph_libraries=$(dirname "$ceph_cache"/usr/lib/*/librados.so.2)
[ -x "$ceph_programs/ceph-command" ] || fail "tests/support/ceph-command is not built: make check TESTS="

# ceph PROGRAM ARGUMENT...: a program of the cluster's, as its administrator; never for ever.
ceph() {
    timeout 60 env LD_LIBRARY_PATH="$ceph_libraries:${ceph_libraries/usr\/lib/lib}" CEPH_CONF="$ceph_conf" \
        "$ceph_cache/usr/bin/$1" "${@:2}"
}

# ceph_image IMAGE[@SNAP] [PARAMETER...]: the IMAGE of nbdcrypt for an image in the pool "rbd".
ceph_image() {
    local parameter text="rbd:rbd/$1?conf=$ceph_conf"

    for parameter in "${@:2}"; do
        text+="&$parameter"
    done
    echo "$text"
}

# ceph_command JSON...: to the monitor.
ceph_command() {
    timeout 30 "$ceph_programs/ceph-command" "$ceph_conf" "$@"
}

# ---- configuration ----

# ceph_write_conf PORT STORE AUTH.  What is not obvious:
#  - Maps change in 50 ms rather than a second (paxos_*).
#  - A memstore without pages copies 4 MiB for each 4 KiB written.
#  - A client that was killed is given up after 3 s rather than 30; clients have to renew oftener than that.
ceph_write_conf() {
    cat >"$ceph_conf" <<END
[global]
fsid = $(cat /proc/sys/kernel/random/uuid)
mon_host = [v2:127.0.0.1:$1]
public_addr = 127.0.0.1
cluster_addr = 127.0.0.1
ms_bind_ipv6 = false
ms_bind_msgr1 = false
auth_cluster_required = $3
auth_service_required = $3
auth_client_required = $3
auth_allow_insecure_global_id_reclaim = false
keyring = $ceph_dir/keyring
run_dir = $ceph_dir
crash_dir = $ceph_dir
admin_socket =
log_file = $log_dir/\$name
log_to_stderr = false
mon_cluster_log_to_file = false
plugin_dir = $ceph_libraries/ceph
erasure_code_dir = $ceph_libraries/ceph/erasure-code
osd_class_dir = $ceph_libraries/rados-classes
osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_pool_default_pg_autoscale_mode = off
osd_crush_chooseleaf_type = 0
[mon]
mon_data = $ceph_dir/mon
mon_allow_pool_size_one = true
mon_allow_pool_delete = true
mon_data_avail_warn = 1
mon_data_avail_crit = 0
paxos_propose_interval = 0.05
paxos_min_wait = 0.01
[osd]
osd_data = $ceph_dir/osd
osd_objectstore = $2
memstore_device_bytes = 4294967296
memstore_page_set = true
bluestore_block_size = 4294967296
bluestore_block_db_create = false
bluestore_block_wal_create = false
osd_client_watch_timeout = 3
[client]
objecter_tick_interval = 1
log_file =
END
}

# Without a key, or with one for each of them.
ceph_make_keys() {
    : >"$ceph_dir/keyring"
    [ "$1" = cephx ] || return 0
    ceph ceph-authtool "$ceph_dir/keyring" --gen-key -n mon. --cap mon 'allow *'
    ceph ceph-authtool "$ceph_dir/keyring" --gen-key -n client.admin --cap mon 'allow *' --cap osd 'allow *'
    ceph ceph-authtool "$ceph_dir/keyring" --gen-key -n osd.0 --cap mon 'allow *' --cap osd 'allow *'
}

# ---- daemons: children of the test, which kill_started ends ----

# ceph_daemon PROGRAM ARGUMENT...: sets $ceph_daemon_pid.
ceph_daemon() {
    LD_LIBRARY_PATH="$ceph_libraries:${ceph_libraries/usr\/lib/lib}" \
        "$ceph_cache/usr/bin/$1" --conf "$ceph_conf" --foreground "${@:2}" </dev/null >>"$log_dir/$1" 2>&1 &
    ceph_daemon_pid=$!
    remember_pid "$ceph_daemon_pid"
}

ceph_mon_answers() {
    kill -0 "$ceph_mon_pid" 2>/dev/null || fail "the monitor did not start"
    ceph_command '{"prefix": "mon stat"}' >/dev/null 2>&1
}

ceph_osd_is_up() {
    ceph_command '{"prefix": "osd stat", "format": "json"}' 2>/dev/null | grep -q '"num_up_osds":1'
}

ceph_start_mon() {
    ceph_daemon ceph-mon --id a
    ceph_mon_pid=$ceph_daemon_pid
}

ceph_start_osd() {
    ceph_daemon ceph-osd --id 0
    ceph_osd_pid=$ceph_daemon_pid
}

# ceph_kill PID: SIGKILL, and wait until it is gone.
ceph_kill() {
    kill -KILL "$1"
    wait "$1" 2>/dev/null || true
}

# The port has to be known before the monitor is there; another may take it, so several are tried.
ceph_pick_port() {
    local port

    for _ in {1..20}; do
        port=$((10000 + SRANDOM % 20000))
        if ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
            echo "$port"
            return
        fi
    done
    fail "no port is free"
}

# ceph_start STORE AUTH: memstore, or bluestore, which keeps what it has when the OSD is killed; none or cephx.
ceph_start() {
    local store=$1 auth=$2 port

    mkdir -p "$ceph_dir/mon" "$ceph_dir/osd"
    port=$(ceph_pick_port)
    ceph_write_conf "$port" "$store" "$auth"
    {
        ceph_make_keys "$auth"
        ceph monmaptool --create --fsid "$(sed -n 's/^fsid = //p' "$ceph_conf")" \
            --addv a "[v2:127.0.0.1:$port]" "$ceph_dir/monmap"
        ceph ceph-mon --conf "$ceph_conf" --id a --mkfs --monmap "$ceph_dir/monmap" \
            --keyring "$ceph_dir/keyring"
        ceph_start_mon
        ceph ceph-osd --conf "$ceph_conf" --id 0 --mkfs --osd-uuid "$(cat /proc/sys/kernel/random/uuid)"
        ceph_start_osd
        # A pool that is made before the OSD is up never becomes active.
        wait_until 30 ceph_mon_answers
        wait_until 60 ceph_osd_is_up
        ceph_command '{"prefix": "osd pool create", "pool": "rbd", "pg_num": 8, "size": 1,
            "yes_i_really_mean_it": true}'
        ceph rbd pool init rbd
    } >>"$log_dir/ceph" 2>&1
}
