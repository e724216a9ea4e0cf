# shellcheck shell=bash
# shellcheck disable=SC2154 # what is set by functions.sh
# promtool, which tells what Prometheus makes of metrics and of alert rules.  Sourced after functions.sh:
#
#     promtool check metrics <FILE
#
# It is the one that is installed, or that of Debian's package, which is downloaded once (19 MB) and not installed.
#
# Environment: PROMTOOL_CACHE, the folder for it (default: in the folder of nbdcrypt).

promtool_cache=${PROMTOOL_CACHE:-$(dirname "$NBDCRYPT")/tests/promtool-cache}

download_promtool() (
    work=$(mktemp -d "$promtool_cache/work.XXXXXX") && cd "$work" &&
        timeout 120 apt-get --quiet=2 --option APT::Sandbox::User=root download prometheus &&
        dpkg-deb --fsys-tarfile ./*.deb | tar --extract ./usr/bin/promtool && mv usr/bin/promtool "$promtool_cache/promtool"
    status=$?
    cd / && rm -rf "$work"
    exit "$status"
)

promtool_program=$(command -v promtool || true)
if [ -z "$promtool_program" ]; then
    mkdir -p "$promtool_cache"
    exec {promtool_lock}>"$promtool_cache/lock"
    flock "$promtool_lock"
    promtool_program=$promtool_cache/promtool
    [ -x "$promtool_program" ] || download_promtool >"$log_dir/promtool" 2>&1 || true
    exec {promtool_lock}>&-
fi
requires "$promtool_program" --version

promtool() {
    timeout 60 "$promtool_program" "$@"
}
