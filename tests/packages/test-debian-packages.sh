#!/bin/bash
# The packages for Debian are built from the sources, and lintian finds nothing in them.  The server's has all that a service needs
# and does not ask for Ceph, what it was built with can be looked up in its debug symbols, and the program in it makes a volume and
# serves it.
. "$(dirname "$0")/../support/functions.sh"
. "$(dirname "$0")/../support/debian-packages.sh"

requires nbdcopy --version
requires lintian --version
packages_built

contents() { dpkg --contents "$(package "$1")" | awk '{ print $6 }'; }
contents nbdcrypt >"$log_dir/contents"
for file in etc/nbdcrypt/nbdcrypt.conf lib/systemd/system/nbdcrypt{,-control}.socket lib/systemd/system/nbdcrypt{,@}.service \
    usr/bin/nbdcrypt usr/lib/sysusers.d/nbdcrypt.conf usr/lib/systemd/catalog/nbdcrypt.catalog usr/lib/tmpfiles.d/nbdcrypt.conf usr/share/man/man5/nbdcrypt.conf.5.gz \
    usr/share/bash-completion/completions/nbdcrypt usr/share/zsh/site-functions/_nbdcrypt \
    usr/share/fish/vendor_completions.d/nbdcrypt.fish usr/share/doc/nbdcrypt/changelog.gz; do
    grep -qx "./$file" "$log_dir/contents" || fail "the package lacks $file"
done
contents nbdcrypt-attach >"$log_dir/contents-attach"
for file in lib/systemd/system/nbdcrypt-attach@.service lib/systemd/system-generators/nbdcrypt-attach-generator \
    lib/udev/rules.d/66-nbdcrypt-attach.rules usr/share/man/man8/nbdcrypt-attach.8.gz; do
    grep -qx "./$file" "$log_dir/contents-attach" || fail "the package for attached disks lacks $file"
done
# Each man page is in one of them.
for package in nbdcrypt nbdcrypt-attach nbdcrypt-bench; do
    contents "$package"
done | sed -nE 's|.*/man[1-8]/(.*)\.gz$|\1|p' | sort >"$log_dir/pages"
(cd "$package_sources/docs" && printf '%s\n' *.[1-8]) | sort | diff - "$log_dir/pages" || fail "man pages differ"

depends=$(dpkg --field "$(package nbdcrypt)" Depends)
[[ $depends != *rbd* && $depends != *rados* ]] || fail "the server asks for Ceph: $depends"
expect_match <(dpkg --field "$(package nbdcrypt-rbd)" Depends) 'librbd1'
expect_equal "configuration files" /etc/nbdcrypt/nbdcrypt.conf "$(dpkg --info "$(package nbdcrypt)" conffiles)"

lintian --allow-root --no-cfg --fail-on error,warning --tag-display-limit 0 "$packages"/*.changes >"$log_dir/lintian" 2>&1 ||
    fail "lintian finds fault with the packages"

# ---- what is in them runs ----
dpkg --extract "$(package nbdcrypt)" "$test_dir/root"
dpkg --extract "$(package nbdcrypt-bench)" "$test_dir/root"
dpkg --extract "$(package nbdcrypt-dbgsym)" "$test_dir/root"
build_id=$(file "$test_dir/root/usr/bin/nbdcrypt" | sed -nE 's/.*BuildID\[sha1\]=([0-9a-f]*),.*/\1/p')
[ -e "$test_dir/root/usr/lib/debug/.build-id/${build_id:0:2}/${build_id:2}.debug" ] || fail "no symbols are there for $build_id"
expect_equal "version" "nbdcrypt-bench ${PACKAGE_VERSION-$(sed -nE 's/^AC_INIT\(\[nbdcrypt\], \[([^]]*)\].*/\1/p' \
    "$package_sources/configure.ac")}" "$("$test_dir/root/usr/bin/nbdcrypt-bench" --version)"
export NBDCRYPT=$test_dir/root/usr/bin/nbdcrypt
# What a report says of its vendor.
grep -aqE "^?.*, $(dpkg --field "$(package nbdcrypt)" Version)" "$NBDCRYPT" || fail "the program does not know its package"
expect_success check --config "$test_dir/root/etc/nbdcrypt/nbdcrypt.conf"
head -c 64 /dev/urandom >"$test_dir/key"
head -c 1M /dev/urandom >"$test_dir/data"
"$NBDCRYPT" format --pbkdf pbkdf2 --pbkdf-iterations 1000 --key-file "$test_dir/key" --size 4M "$test_dir/disk" >/dev/null
start_nbdcrypt --key-file "$test_dir/key" "$test_dir/disk"
nbdcopy "$test_dir/data" "$uri"
nbdcopy "$uri" "$test_dir/copy"
cmp -n $((1 << 20)) "$test_dir/data" "$test_dir/copy"
stop_nbdcrypt
