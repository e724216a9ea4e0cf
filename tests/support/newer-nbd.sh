# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154 # what functions.sh and the tests set and use
# QEMU's and libnbd's programs, of versions that speak with extended headers; after functions.sh.

# Sets `newer`: the folder with qemu-img, qemu-io, qemu-nbd, nbdinfo and nbdcopy.
get_newer_nbd() {
    newer=${NEWER_NBD_CACHE:-$(dirname "$NBDCRYPT")/tests/newer-nbd-cache}
    if ! command -v dpkg >/dev/null || ! command -v apt-get >/dev/null; then
        skip "QEMU 8.2 and libnbd 1.18 or later come from Debian's packages, and this is not Debian"
    fi
    bash "$support_dir/newer-programs.sh" "$newer" "qemu-img qemu-io qemu-nbd nbdinfo nbdcopy" \
        "qemu-utils libnbd-bin libnbd0 libaio1t64 libbrotli1 libcap-ng0 libffi8 libfuse3-4 libgcc-s1 libglib2.0-0t64 libgmp10
        libgnutls30t64 libhogweed6t64 libicu76 libidn2-0 liblzma5 libnettle8t64 libnuma1 libp11-kit0 libpcre2-8-0 libpixman-1-0
        libseccomp2 libselinux1 libstdc++6 libtasn1-6 libunistring5 liburing2 libxml2 libzstd1 zlib1g" \
        >"$log_dir/newer" 2>&1 && return
    [ "${CI-}" != true ] || fail "QEMU and libnbd of a newer Debian, which CI must be able to download, are not there"
    skip "QEMU and libnbd of a newer Debian are not there: $(tail -n 1 "$log_dir/newer")"
}
