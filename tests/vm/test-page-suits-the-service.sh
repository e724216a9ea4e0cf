#!/bin/bash
# The server of nbdcrypt-vm(7) runs as the service does: as a user of its own, who may read what the page gives it, and with the keys that
# its unit names.  Folders are first as the package makes them.
. "$(dirname "$0")/../support/functions.sh"
recipe_size=16M
recipe_group=nogroup
. "$(dirname "$0")/../support/vm-recipes.sh"

[ "$(id -u)" -eq 0 ] || skip "only root can give files to another user"
service=(setpriv --reuid=65534 --regid=65534 --clear-groups)
chmod 711 "$test_dir"
"${service[@]}" "$NBDCRYPT" --version >/dev/null 2>&1 || skip "nobody may not run $NBDCRYPT"
chmod 700 "$root/etc/nbdcrypt/keys"
mkdir -m 750 "$root/etc/nbdcrypt/pki"
chgrp nogroup "$root/etc/nbdcrypt/pki"
chown nobody: "$root/var/lib/nbdcrypt" "$root/run/nbdcrypt"
make_server_of_page

# ---- what root says ----
for command in usermod systemctl; do
    printf '#!/bin/sh\necho "%s $*"\n' "$command" >"$test_dir/bin/$command"
    chmod +x "$test_dir/bin/$command"
done
as_nobody='s/chown 0/chown nobody:/; s/ -R nbdcrypt:/ -R nobody:/; s/chgrp nbdcrypt/chgrp nogroup/'
recipe service | sed -E "$as_nobody; s,/etc/systemd,$root/etc/systemd,g" >"$test_dir/script"
(cd "$root" && bash -euo pipefail "$test_dir/script") >"$log_dir/service" 2>&1 || fail "$(cat "$test_dir/script" "$log_dir/service")"
expect_match "$log_dir/service" "^usermod -a -G libvirt-qemu nbdcrypt$"
expect_match "$log_dir/service" "^systemctl restart nbdcrypt$"

# ---- what systemd does with it ----
mkdir -m 700 "$test_dir/credentials"
while IFS=: read -r name file; do
    install -o nobody -m 400 "$root${file#"$root"}" "$test_dir/credentials/$name"
done < <(sed -n 's/^LoadCredential=//p' "$root/etc/systemd/system/nbdcrypt.service.d/keys.conf")
chown nobody: "$test_dir/credentials"
export CREDENTIALS_DIRECTORY=$test_dir/credentials
printf '#!/bin/sh\nexec %s %s "$@"\n' "${service[*]}" "$NBDCRYPT" >"$test_dir/bin/service"
chmod 755 "$test_dir/bin" "$test_dir/bin/service"
program=$NBDCRYPT
NBDCRYPT=$test_dir/bin/service
start_nbdcrypt --config "$root/etc/nbdcrypt/nbdcrypt.conf" --unix "$root/run/nbdcrypt/nbd.sock"
NBDCRYPT=$program
"$NBDCRYPT" ctl exports >"$log_dir/exports"
for disk in vm1 data1 data2; do
    expect_match "$log_dir/exports" "^$disk  *serving "
done
expect_equal "group of the socket" nogroup "$(stat -c %G "$root/run/nbdcrypt/nbd.sock")"

# ---- a disk that comes later ----
recipe add | sed -E "$as_nobody" >"$test_dir/script"
(cd "$root" && bash -euo pipefail "$test_dir/script") >"$log_dir/add" 2>&1 || fail "$(cat "$test_dir/script" "$log_dir/add")"
"$NBDCRYPT" ctl exports >"$log_dir/exports"
expect_match "$log_dir/exports" "^data3  *serving "
stop_nbdcrypt
