#!/bin/bash
# What the packages of Debian and RPM do before they are removed, and RPM's after an upgrade, on a machine that is played here: they
# refuse while a disk is attached, while a service has clients or does not tell, and say which service is still of the version before.
. "$(dirname "$0")/../support/functions.sh"

sources=$(realpath "${top_srcdir:-$source_dir}")
machine=$test_dir/machine
mkdir -p "$machine"/{run/systemd/system,run/nbdcrypt-attach,sys/block/nbd3} "$test_dir/bin" "$test_dir/scripts"

# scriptlet SECTION: of the specification, up to the next section.
scriptlet() {
    awk -v section="%$1" '$0 == section { inside = 1; next } inside && /^%[a-z]/ { exit } inside' "$sources/dist/rpm/nbdcrypt.spec"
}
for name in debian/nbdcrypt.prerm debian/nbdcrypt-attach.prerm; do
    cp "$sources/$name" "$test_dir/scripts/$(basename "$name")"
done
scriptlet preun >"$test_dir/scripts/rpm.prerm"
scriptlet 'preun attach' >"$test_dir/scripts/rpm-attach.prerm"
scriptlet post >"$test_dir/scripts/rpm.post"
sed -i "s,/run/\(systemd\|nbdcrypt-attach\),$machine&,; s,/sys/block,$machine&,; s,^systemd-tmpfiles .*,:," "$test_dir"/scripts/*

cat >"$test_dir/bin/systemctl" <<'STUB'
#!/bin/sh
case $* in *list-units*) cat "$MACHINE/services" ;; *) echo "$*" >>"$MACHINE/calls" ;; esac
STUB
cat >"$test_dir/bin/nbdcrypt" <<'STUB'
#!/bin/sh
while [ "$1" != --socket ]; do shift; done
cat "$MACHINE/$(basename "$(dirname "$2")").status"
STUB
chmod +x "$test_dir/bin"/*
export MACHINE=$machine

# remove STATUS SCRIPT...
remove() {
    local expected=$1 script status

    shift
    for script; do
        status=0
        : >"$machine/calls"
        case $script in rpm*) set -- 0 ;; *) set -- remove ;; esac
        PATH=$test_dir/bin:$PATH sh "$test_dir/scripts/$script" "$1" >"$test_dir/out" 2>&1 || status=$?
        expect_equal "status of $script, which said $(cat "$test_dir/out")" "$expected" "$status"
        [ "$expected" -eq 0 ] || ! grep -q stop "$machine/calls" || fail "$script has stopped something"
        [ "$expected" -eq 0 ] || expect_match "$test_dir/out" "$words"
    done
}
all=(nbdcrypt.prerm nbdcrypt-attach.prerm rpm.prerm rpm-attach.prerm)

: >"$machine/services"
remove 0 "${all[@]}"
expect_match "$machine/calls" '^stop nbdcrypt-attach@'

# ---- a disk that is attached here; one that was, and whose record is left ----
echo NBDCRYPT_LINK=vm7 >"$machine/run/nbdcrypt-attach/nbd3"
remove 0 "${all[@]}"
echo 1 >"$machine/sys/block/nbd3/pid"
words="the disk 'vm7' is attached as /dev/nbd3"
remove 1 "${all[@]}"
words="'nbdcrypt detach /dev/nbd3' detaches it"
remove 1 "${all[@]}"
rm "$machine/run/nbdcrypt-attach/nbd3"

# ---- clients ----
printf '%s loaded active running x\n' nbdcrypt.service nbdcrypt@vm7.service >"$machine/services"
printf 'clients  0\n' | tee "$machine/nbdcrypt.status" >"$machine/nbdcrypt-vm7.status"
remove 0 nbdcrypt.prerm rpm.prerm
printf 'clients  2\n' >"$machine/nbdcrypt-vm7.status"
words='nbdcrypt@vm7.service has clients .2., which would lose their disks'
remove 1 nbdcrypt.prerm rpm.prerm
words="'systemctl stop nbdcrypt@vm7.service' ends their connections"
remove 1 nbdcrypt.prerm rpm.prerm
: >"$machine/nbdcrypt-vm7.status"
words='does not tell'
remove 1 nbdcrypt.prerm rpm.prerm

# ---- an upgrade ----
PATH=$test_dir/bin:$PATH sh "$test_dir/scripts/rpm.post" 2 >"$test_dir/out"
expect_match "$test_dir/out" "'systemctl restart nbdcrypt.service nbdcrypt@vm7.service' takes the new one"
PATH=$test_dir/bin:$PATH sh "$test_dir/scripts/rpm.post" 1 >"$test_dir/out"
[ ! -s "$test_dir/out" ] || fail "an installation says: $(cat "$test_dir/out")"
