#!/bin/bash
# The specification of the RPM packages is what rpm and rpmlint take, has the version of the sources, and names all that `make
# install` installs.  It is compiled without optimization here, which is faster.
. "$(dirname "$0")/../support/functions.sh"
. "$(dirname "$0")/../support/debian-packages.sh"

requires rpmbuild --version
requires rpmlint --version
spec=$package_sources/dist/rpm/nbdcrypt.spec
version=$(sed -nE 's/^AC_INIT\(\[nbdcrypt\], \[([^]]*)\].*/\1/p' "$package_sources/configure.ac")
expect_equal "version" "$version" "$(sed -n 's/^Version: *//p' "$spec")"
rpmlint --strict --config "$package_sources/dist/rpm/rpmlint.toml" "$spec" >"$log_dir/rpmlint-spec" 2>&1 || fail "rpmlint finds fault with the specification"

top=$test_dir/rpm
mkdir -p "$top/SOURCES"
package_files --transform "s,^\.,nbdcrypt-$version," | gzip -1 >"$top/SOURCES/nbdcrypt-$version.tar.gz"
(
    unset CC CFLAGS MAKEFLAGS MAKELEVEL MFLAGS
    # Of this machine rpm knows no packages.  Archives are made fast.
    exec rpmbuild -bb --nodeps --define "_topdir $top" --define "_smp_mflags -j$(nproc)" --define 'optflags -O0' \
        --define '_build_id_links none' --define '_binary_payload w1.gzdio' --define "_dbpath $top/db" "$spec"
) </dev/null >"$log_dir/rpmbuild" 2>&1 || fail "the packages can't be built"

for package in nbdcrypt nbdcrypt-attach nbdcrypt-rbd nbdcrypt-bench; do
    rpm --dbpath "$top/db" -qp --requires "$top"/RPMS/*/"$package-$version"-1*.rpm
done >"$log_dir/requires"
! rpm --dbpath "$top/db" -qp --requires "$top"/RPMS/*/"nbdcrypt-$version"-1*.rpm | grep -E 'rbd|rados' ||
    fail "the server asks for Ceph"
expect_match "$log_dir/requires" '^librbd1$'
rpmlint --strict --config "$package_sources/dist/rpm/rpmlint.toml" "$top"/RPMS/*/*.rpm >"$log_dir/rpmlint" 2>&1 ||
    fail "rpmlint finds fault with the packages"
