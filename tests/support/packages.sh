# shellcheck shell=bash
# What has to be installed, for quickstart.sh and runtests.sh, which source this file.
#
#     packages_install build demo      installs what these groups lack, or says it and fails

# group   how it is recognised              Debian               Fedora
package_table='
build     command:gcc                       gcc                  gcc
build     file:/usr/include/stdlib.h        libc6-dev            glibc-devel
build     command:make                      make                 make
build     command:autoconf                  autoconf             autoconf
build     command:automake                  automake             automake
build     command:pkg-config                pkg-config           pkgconf-pkg-config
build     library:liburing                  liburing-dev         liburing-devel
build     library:libcryptsetup             libcryptsetup-dev    cryptsetup-devel
build     library:gnutls                    libgnutls28-dev      gnutls-devel
build     library:libgcrypt                 libgcrypt20-dev      libgcrypt-devel
build     library:json-c                    libjson-c-dev        json-c-devel
build     library:blkid                     libblkid-dev         libblkid-devel
build     file:/usr/include/rbd/librbd.h    librbd-dev           librbd-devel
build     library:libmicrohttpd             libmicrohttpd-dev    libmicrohttpd-devel
build     library:libseccomp                libseccomp-dev       libseccomp-devel
build     library:libnl-genl-3.0            libnl-genl-3-dev     libnl3-devel
build     library:zlib                      zlib1g-dev           zlib-devel
build     library:libzstd                   libzstd-dev          libzstd-devel
build     include:sys/sdt.h                 systemtap-sdt-dev    systemtap-sdt-devel
demo      command:nbdinfo                   libnbd-bin           libnbd
demo      command:nbdcopy                   libnbd-bin           libnbd
demo      command:file                      file                 file
tests     command:clang                     clang                clang
tests     clang:fuzzer                      libclang-rt-dev      compiler-rt
tests     command:clang-format              clang-format         clang-tools-extra
tests     command:shellcheck                shellcheck           ShellCheck
tests     command:mandoc                    mandoc               mandoc
tests     command:ps                        procps               procps-ng
tests     command:readelf                   binutils             binutils
tests     command:bpftrace                  bpftrace             bpftrace
tests     command:valgrind                  valgrind             valgrind
tests     command:cryptsetup                cryptsetup-bin       cryptsetup
tests     command:qemu-img                  qemu-utils           qemu-img
tests     command:qemu-io                   qemu-utils           qemu-img
tests     file:/usr/share/doc/qemu-block-extra qemu-block-extra  qemu-block-rbd
tests     command:nbdsh                     python3-libnbd       python3-libnbd
tests     python:nbd                        python3-libnbd       python3-libnbd
tests     python:cryptography               python3-cryptography python3-cryptography
tests     command:openssl                   openssl              openssl
tests     command:nbdcopy                   libnbd-bin           libnbd
tests     command:zsh                       zsh                  zsh
tests     command:fish                      fish                 fish
tests     command:fio                       fio                  fio
tests     command:nbdkit                    nbdkit               nbdkit
tests     nbdkit:python                     nbdkit-plugin-python nbdkit-python-plugin
tests     library:libnbd                    libnbd-dev           libnbd-devel
tests     include:nbdkit-plugin.h           nbdkit-plugin-dev    nbdkit-devel
tests     command:xorriso                   xorriso              xorriso
tests     command:sshd                      openssh-server       openssh-server
tests     command:ssh-keygen                openssh-client       openssh
tests     command:qemu-nbd                  qemu-utils           qemu-img
tests     command:certtool                  gnutls-bin           gnutls-utils
tests     command:openssl                   openssl              openssl
tests     command:nbd-server                nbd-server           nbd
tests     command:qemu-system-x86_64        qemu-system-x86      qemu-system-x86-core
tests     command:virsh                     libvirt-clients      libvirt-client
tests     command:xmllint                   libxml2-utils        libxml2
tests     command:libvirtd                  libvirt-daemon       libvirt-daemon
tests     command:libvirtd                  libvirt-daemon-driver-qemu libvirt-daemon-driver-qemu
tests     command:busybox                   busybox-static       busybox
tests     command:dash                      dash                 dash
tests     command:mkfs.ext4                 e2fsprogs            e2fsprogs
tests     command:sfdisk                fdisk                util-linux
tests     command:nbdfuse                   libnbd-bin           libnbd
tests     command:fusermount3               fuse3                fuse3
tests     command:fuse2fs                   fuse2fs              fuse2fs
tests     command:syslinux                  syslinux             syslinux
tests     command:mcopy                     mtools               mtools
tests     command:mkfs.fat                  dosfstools           dosfstools
tests     command:nbd-client                nbd-client           nbd
tests     command:clevis                    clevis               clevis
tests     command:jose                      jose                 jose
tests     file:/usr/libexec/tangd           tang                 tang
tests     command:systemd-analyze           systemd              systemd
tests     command:gnuplot                   gnuplot-nox          gnuplot
tests     command:dh                        debhelper            debhelper
tests     command:dpkg-buildpackage         dpkg-dev             dpkg-dev
tests     file:/usr/share/doc/build-essential build-essential gcc-c++
tests     command:lintian                   lintian              lintian
tests     command:debootstrap               debootstrap          debootstrap
tests     command:jq                        jq                   jq
tests     command:rpmbuild                  rpm                  rpm-build
tests     command:rpmlint                   rpmlint              rpmlint
browser   command:chromium                  chromium             chromium
browser   command:chromedriver              chromium-driver      chromedriver
bench     command:fio                       fio                  fio
bench     command:nbdkit                    nbdkit               nbdkit
bench     command:qemu-nbd                  qemu-utils           qemu-img
bench     command:nbd-server                nbd-server           nbd
bench     file:/usr/share/doc/qemu-block-extra qemu-block-extra  qemu-block-rbd
bench     command:nbdcopy                   libnbd-bin           libnbd
bench     command:python3                   python3              python3
bench     command:gnuplot                   gnuplot-nox          gnuplot
'

# The kernel that guests of tests boot: small, with all that they need.  Downloaded, never installed.
# shellcheck disable=SC2034 # it is for guest-image.sh
guest_kernel_package=linux-image-cloud-amd64

# packages_download PACKAGE FOLDER: the .deb that PACKAGE stands for (itself, or the one image that it
# depends on), not installed.  Says what is wrong on stderr.
packages_download() {
    local package

    package=$(apt-cache depends "$1" | sed -n 's/.*Depends: \(linux-image-[0-9].*\)/\1/p' | head -n 1)
    mkdir -p "$2"
    (cd "$2" && apt-get --quiet=2 --option APT::Sandbox::User=root download "${package:-$1}") >&2
}

# package_is_there KIND:NAME
package_is_there() {
    local name=${1#*:}

    case $1 in
    command:*) PATH=$PATH:/usr/sbin:/sbin command -v "$name" >/dev/null ;;
    file:*) [ -e "$name" ] ;;
    include:*) compgen -G "/usr/include/$name" >/dev/null || compgen -G "/usr/include/*/$name" >/dev/null ;;
    library:*) pkg-config --exists "$name" 2>/dev/null ;;
    clang:*) compgen -G "$(clang -print-runtime-dir 2>/dev/null)/libclang_rt.$name*" >/dev/null ;;
    nbdkit:*) nbdkit "$name" --dump-plugin >/dev/null 2>&1 ;;
    python:*) [ -x /usr/bin/python3 ] && /usr/bin/python3 -c "import $name" 2>/dev/null ;;
    esac
}

# packages_missing COLUMN GROUP...: the names of what is missing; column 3 is Debian, 4 Fedora.
packages_missing() {
    local column=$1 group mark debian fedora

    shift
    while read -r group mark debian fedora; do
        case " $* " in
        *" $group "*) ;;
        *) continue ;;
        esac
        package_is_there "$mark" && continue
        if [ "$column" = 3 ]; then echo "$debian"; else echo "$fedora"; fi
    done <<<"$package_table" | sort -u | tr '\n' ' ' | sed 's/ $//'
}

# packages_name_missing REASON GROUP...: what a person has to install.
packages_name_missing() {
    local reason=$1

    shift
    {
        echo "$0: $reason. Please install, then start again:"
        echo "  Debian:  apt-get install $(packages_missing 3 "$@")"
        echo "  Fedora:  dnf install $(packages_missing 4 "$@")"
    } >&2
}

# packages_install GROUP...
packages_install() {
    local missing root=()

    missing=$(packages_missing 3 "$@")
    [ -n "$missing" ] || return 0
    if ! command -v apt-get >/dev/null; then
        packages_name_missing "something is missing, and there is no apt-get here to install it" "$@"
        return 1
    fi
    if [ "$(id -u)" -ne 0 ]; then
        if ! command -v sudo >/dev/null; then
            packages_name_missing "something is missing, and it takes root to install it" "$@"
            return 1
        fi
        root=(sudo)
    fi
    echo "Installing: $missing"
    # Unquoted: one word for each package.
    # shellcheck disable=SC2086
    if ! packages_apt_get install --no-install-recommends $missing; then
        packages_name_missing "apt-get could not install what is missing" "$@"
        return 1
    fi
    missing=$(packages_missing 3 "$@")
    if [ -n "$missing" ]; then
        packages_name_missing "apt-get succeeded, but something is still missing" "$@"
        return 1
    fi
}

# packages_apt_get ARGUMENT...: quietly; the whole output only when it fails.  Uses packages_install()'s
# `root`.
packages_apt_get() {
    local log

    log=$(mktemp)
    if ! { "${root[@]}" apt-get update &&
        "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get --yes "$@"; } >"$log" 2>&1 </dev/null; then
        cat "$log" >&2
        rm "$log"
        return 1
    fi
    rm "$log"
}
