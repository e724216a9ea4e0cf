#!/bin/bash
# The units of systemd are what systemd takes without a word, confine the server, and are installed below the prefix.
. "$(dirname "$0")/../support/functions.sh"

EXPOSURE_MAX=25 # systemd-analyze says 2.5

requires systemd-analyze --version
units=$source_dir/dist/systemd
work=$(temp_dir)
mkdir "$work/bin" "$work/units"
ln -s "$(realpath "$NBDCRYPT")" "$work/bin/nbdcrypt"
for unit in nbdcrypt.service nbdcrypt@.service nbdcrypt-attach@.service; do
    sed "s|@bindir@|$work/bin|" "$units/$unit.in" >"$work/units/$unit"
    ! grep -n '@[a-z]*@' "$work/units/$unit" || fail "$unit has names that nothing stands for"
done
sockets=(nbdcrypt.socket nbdcrypt-control.socket)
cp "${sockets[@]/#/$units/}" "$work/units"

# Of the machine's own units nothing is to be said here.
verify() {
    SYSTEMD_UNIT_PATH=$work/units: systemd-analyze verify --man=no "$@" >"$log_dir/verify" 2>&1 ||
        fail "systemd-analyze verify $*"
    ! grep -F nbdcrypt "$log_dir/verify" || fail "systemd-analyze verify finds fault with $*"
}
verify "$work/units/nbdcrypt.service" "${sockets[@]/#/$work/units/}"
cp "$work/units/nbdcrypt@.service" "$work/units/nbdcrypt@vm7.service"
verify "$work/units/nbdcrypt@vm7.service"
cp "$work/units/nbdcrypt-attach@.service" "$work/units/nbdcrypt-attach@vm7.service"
verify "$work/units/nbdcrypt-attach@vm7.service"

# At the end a disk goes before its server, which may be one for it alone.
for server in nbdcrypt.service nbdcrypt@%i.service; do
    sed -n 's/^After=//p' "$work/units/nbdcrypt-attach@.service" | tr ' ' '\n' | grep -qxF "$server" ||
        fail "nbdcrypt-attach@.service may stop after $server"
done

for unit in nbdcrypt.service nbdcrypt@vm7.service; do
    systemd-analyze security --no-pager --offline=yes --threshold=$EXPOSURE_MAX "$work/units/$unit" >"$log_dir/security" 2>&1 ||
        fail "$unit is exposed more than it may be: $(grep -F 'Overall exposure' "$log_dir/security")"
    note "$unit: $(grep -F 'Overall exposure' "$log_dir/security")"
done

if command -v systemd-sysusers >/dev/null; then
    mkdir -p "$work/root/etc"
    SYSTEMD_LOG_LEVEL=warning systemd-sysusers --root="$work/root" --dry-run "$units/nbdcrypt-sysusers.conf" >"$log_dir/sysusers" 2>&1 ||
        fail "systemd-sysusers does not take nbdcrypt-sysusers.conf"
fi

# ---- make install ----

make=${MAKE-make}
build=$(dirname "$(realpath "$NBDCRYPT")")
if ! grep -qs '^systemd_unitdir = ' "$build/Makefile"; then
    note "this build installs no units"
    exit 0
fi
"$make" -C "$build" install-data DESTDIR="$work/installed" prefix=/opt >"$log_dir/install" 2>&1 || fail "make install-data"
for file in systemd/system/nbdcrypt.service systemd/system/nbdcrypt@.service "${sockets[@]/#/systemd/system/}" \
    systemd/system/nbdcrypt-attach@.service systemd/system-generators/nbdcrypt-attach-generator udev/rules.d/66-nbdcrypt-attach.rules \
    systemd/catalog/nbdcrypt.catalog sysusers.d/nbdcrypt.conf tmpfiles.d/nbdcrypt.conf; do
    [ -s "$work/installed/opt/lib/$file" ] || fail "make install does not bring $file"
done
! grep -q '@bindir@' "$work/installed/opt/lib/systemd/system/nbdcrypt.service" || fail "the installed unit has no path"
mkdir -p "$work/installed/opt/bin" # it goes there first
"$make" -C "$build" uninstall DESTDIR="$work/installed" prefix=/opt >>"$log_dir/install" 2>&1 || fail "make uninstall"
[ -z "$(find "$work/installed/opt/lib" -type f)" ] || fail "make uninstall leaves something behind"
