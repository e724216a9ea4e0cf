#!/bin/bash
# Each MESSAGE_ID that the log has is in nbdcrypt-service(7) and in the catalog of the journal, once, and no other is.
set -euo pipefail
export LC_ALL=C

cd "${top_srcdir:-$(dirname "$0")/../..}"
ids=$(sed -nE 's/^#define LOG_ID_[A-Z_]+ "([0-9a-f]{32})".*/\1/p' server/base/log-ids.h | sort)
[ "$(wc -l <<<"$ids")" -ge 20 ] || { echo "only few were found" && exit 1; }
diff <(echo "$ids") <(sed -nE 's/^\.It Li ([0-9a-f]{32})$/\1/p' docs/nbdcrypt-service.7 | sort)
diff <(echo "$ids") <(sed -nE 's/^-- ([0-9a-f]{32})$/\1/p' dist/systemd/nbdcrypt.catalog | sort)
[ -z "$(uniq -d <<<"$ids")" ] || { echo "one is there twice" && exit 1; }
