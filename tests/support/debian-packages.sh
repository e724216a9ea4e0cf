# shellcheck shell=bash
# shellcheck disable=SC2034,SC2119,SC2154 # what is set here is for the tests, and what functions.sh sets
# The packages for Debian, built from these sources.  Sourced after functions.sh:
#
#     . "$(dirname "$0")/../support/debian-packages.sh"
#     packages_built                         # once for all tests, in the folder of the build; sets $packages
#     dpkg --contents "$(package nbdcrypt)"
#
# Nothing is downloaded: what building needs is installed by runtests.sh.

package_sources=$(realpath "${top_srcdir:-$source_dir}")

# package_files [OPTION...]: an archive of the sources without what was built among them.
# shellcheck disable=SC2119,SC2120 # most have no option
package_files() {
    tar --create --directory "$package_sources" --exclude=./.git --exclude=./build --exclude='./build-[!a]*' --exclude='./build-asan*' --exclude=./demo --exclude='./autom4te*' \
        --exclude=./config.status --exclude='*.o' --exclude='*.a' --exclude=.deps --exclude='*.log' --exclude='*.trs' \
        --sort=name --mtime="$(sed -n 's/^ -- .*>  //p' "$package_sources/debian/changelog" | head -n 1)" --owner=0 --group=0 --mode=go=rX,u+rw "$@" .
}

# build_packages FOLDER OPTIONS [VARIABLE=VALUE...]: leaves the packages in FOLDER.  OPTIONS are of DEB_BUILD_OPTIONS.
build_packages() {
    local folder=$1 options=$2

    shift 2
    rm -rf "$folder"
    mkdir -p "$folder/nbdcrypt"
    package_files | tar --extract --directory "$folder/nbdcrypt"
    (
        cd "$folder/nbdcrypt"
        unset CC CFLAGS MAKEFLAGS MAKELEVEL MFLAGS
        exec env DEB_BUILD_OPTIONS="parallel=$(nproc) $options" "$@" dpkg-buildpackage --no-sign --build=binary
    ) </dev/null >"$folder/log" 2>&1 || {
        tail -n 60 "$folder/log" >&2
        fail "the packages can't be built"
    }
    rm -rf "$folder/nbdcrypt"
}

packages_built() {
    local build

    requires dpkg-buildpackage --version
    requires dh --list
    build=$(dirname "$(realpath "$NBDCRYPT")")/tests/packages
    [ -w "$(dirname "$build")" ] || build=$test_dir/packages
    mkdir -p "$build"
    # Nothing of the tests is in them.
    packages=$build/built-$(package_files --exclude='./tests/*/*' | sha256sum | cut -c 1-12)
    (
        flock 9
        [ ! -e "$packages/done" ] || exit 0
        rm -rf "$build"/built-*
        # What did not change since the last time was compiled then.
        [ ! -d /usr/lib/ccache ] || PATH=/usr/lib/ccache:$PATH
        # In a folder whose name stays, by which the compiler's cache knows it.
        build_packages "$build/work" nocheck
        mv "$build/work" "$packages"
        touch "$packages/done"
    ) 9>"$build/lock"
}

# package NAME: its file.
package() {
    echo "$packages/$1"_*.deb
}
