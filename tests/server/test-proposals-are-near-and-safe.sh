#!/bin/bash
# An option that is not there gets a proposal that is near, or none: never one that takes a protection away, such as
# --raw, and never one that is not an option.
. "$(dirname "$0")/../support/functions.sh"

usage() { expect_failure 2 "$@"; }

for typed in --rax --ra --rate --row --no-luks --forse-in-use --no-lick --tls-no-verify-per -n -z; do
    usage "unknown option '$typed'" serve "$typed" x
done
usage "unknown option '--forc'" format --forc x
usage "unknown option '--yess'" erase --yess x
usage "unknown option '-raw': options of several letters begin with two dashes" serve -raw x
usage "unknown option '-listen': options of several letters begin with two dashes" serve -listen localhost:1 x
usage "unknown option '--readonly': did you mean --read-only?" serve --readonly x
usage "unknown option '--prot': did you mean --port?" serve --prot 7 x
usage "unknown option '--tls-cert': did you mean --tls-certificates?" serve --tls-cert x y
usage "export 'a': unknown option 'rax'" serve --export a=x,rax
usage "there is no command 'frmat': did you mean format?" frmat
usage "there is no command 'key ad': did you mean key add?" key ad
usage "there is no command 'lisst': did you mean list?" lisst
usage "there is no command 'zzz': nbdcrypt --help lists them" zzz
usage "there is no command 'key delete': nbdcrypt key --help lists them" key delete
