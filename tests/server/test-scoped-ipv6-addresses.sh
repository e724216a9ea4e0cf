#!/bin/bash
# An IPv6 address with a scope (fe80::1%eth0) is one to listen on; the URI that the server prints, with %25, is one to connect
# to, as is one with a bare %.
. "$(dirname "$0")/../support/functions.sh"

# Of /proc/net/if_inet6: address, index, prefix, scope (20: link), flags (40: tentative), name.
read -r address interface < <(awk '$4 == "20" && $5 !~ /[4567]./ { gsub(/..../, "&:", $1); print substr($1, 1, 39), $6; exit }' \
    /proc/net/if_inet6) || skip "there is no interface with a link-local address"
expected=$(python -c 'import ipaddress, sys; print(ipaddress.ip_address(sys.argv[1]))' "$address")

disk=$(temp_file)
make_pattern "$disk" 1M
start_nbdcrypt --raw --listen "[$expected%$interface]:0" "$disk"
first_pid=$pid
expect_equal "URI" "nbd://[$expected%25$interface]:$port/" "$uri"
for remote in "$uri" "${uri/\%25/%}"; do
    start_nbdcrypt --raw --read-only "$remote"
    nbdcopy "$uri" - | cmp - "$disk"
    stop_nbdcrypt
done
pid=$first_pid
stop_nbdcrypt
