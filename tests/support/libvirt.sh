# shellcheck shell=bash
# shellcheck disable=SC2154 # what functions.sh sets
# A libvirt of the test's own, of an ordinary user (root's would be the system's).  Sourced after functions.sh:
#
#     . "$(dirname "$0")/../support/libvirt.sh"
#     start_libvirt "$folder" <<<'nbd_tls_x509_cert_dir = "/certificates"'     its qemu.conf; the folder is its user's
#     virsh create --paused vm.xml
#
# The machine's name is in $libvirt_machine (vm).

[ "$(uname -m)" = x86_64 ] || skip "the machine is an x86-64 one, and this one is not"
PATH=$PATH:/usr/sbin:/sbin
requires virsh --version
virsh=$(type -P virsh)
requires libvirtd --version
requires qemu-system-x86_64 --version

# start_libvirt FOLDER <QEMU-CONF
start_libvirt() {
    libvirt_folder=$1
    mkdir -m 700 "$1/run"
    mkdir -p "$1"/{home,config/libvirt,cache,data}
    cat >"$1/config/libvirt/qemu.conf"
    as_user=(env HOME="$1/home" XDG_RUNTIME_DIR="$1/run" XDG_CONFIG_HOME="$1/config" XDG_CACHE_HOME="$1/cache"
        XDG_DATA_HOME="$1/data")
    if [ "$(id -u)" -eq 0 ]; then
        as_user=(setpriv --reuid=65534 --regid=65534 --clear-groups "${as_user[@]}")
        chown -R 65534:65534 "$1"
        chmod a+x "$test_dir" "$1"
    fi
    "${as_user[@]}" libvirtd >"$log_dir/libvirtd" 2>&1 &
    libvirtd_pid=$!
    remember_pid "$libvirtd_pid"
    wait_until 30 test -S "$1/run/libvirt/libvirt-sock"
}

# The machine and what keeps its log are no children of ours, and outlive their libvirtd.
clean_up_test() {
    local file other

    [ -n "${libvirt_folder-}" ] || return 0
    for file in "$libvirt_folder"/run/libvirt/{qemu/run/"${libvirt_machine:-vm}",virtlogd}.pid; do
        other=$(cat "$file" 2>/dev/null) || continue
        if cat "/proc/$other/cmdline" "/proc/$other/environ" 2>/dev/null | grep -qaF "$libvirt_folder"; then
            kill -KILL "$other"
        fi
    done
}

virsh() {
    timeout 60 "${as_user[@]}" "$virsh" --connect qemu:///session "$@"
}
