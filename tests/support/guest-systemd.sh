# shellcheck shell=bash
# shellcheck disable=SC2154 # what functions.sh and guest.sh set
# A guest (see guest.sh) whose init is systemd, with nbdcrypt installed by `make install`.  Sourced after
# guest.sh; guest_run runs the script when the system is up.
#
#     . "$(dirname "$0")/../support/guest-systemd.sh"
#     guest_run -- <<'END'
#     systemctl start nbdcrypt
#     END
#
# systemd is this machine's.  No file of this machine's own configuration comes along.

requires test -x /lib/systemd/systemd
# A cache may be older than what makes it, or than the systemd of this machine.
guest_systemd_version=$(cat "$support_dir/guest-systemd-image.sh" "$support_dir/guest-systemd-init.sh" /lib/systemd/systemd | sha256sum)
guest_systemd=$guest_cache/systemd-${guest_systemd_version:0:12}.cpio
if ! bash "$support_dir/guest-systemd-image.sh" "$guest_systemd" >"$log_dir/guest-systemd-image" 2>&1; then
    [ "${CI-}" != true ] || fail "there is no systemd for the guest"
    skip "there is no systemd for the guest: $(tail -n 1 "$log_dir/guest-systemd-image")"
fi
guest_layers+=("$guest_systemd")

# What `make install` installs, where it installs it.
guest_install() {
    local build installed=$test_dir/installed program

    build=$(dirname "$(realpath "$NBDCRYPT")")
    grep -qs '^systemd_unitdir = ' "$build/Makefile" || skip "this build installs no units of systemd (configure --with-systemd)"
    "${MAKE-make}" -C "$build" install-exec install-data DESTDIR="$installed" >"$log_dir/install" 2>&1 || fail "make install"
    find "$installed" -path '*/bin/*' -type f | while read -r program; do
        guest_put "$guest_root" "$program" "${program#"$installed"}"
    done
    rm -rf "$installed"/*/share "$installed"/*/*/share
    cp --recursive --no-dereference --update=none "$installed/." "$guest_root/" 2>/dev/null ||
        cp --recursive --no-dereference --no-clobber "$installed/." "$guest_root/"
}
guest_install
