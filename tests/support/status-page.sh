# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154 # what is set here is for the tests, or by functions.sh
# The status page of a server, where this program has one.  Sourced after functions.sh:
#
#     start_nbdcrypt "${with_http[@]}" ...   on the socket $http
#     page_warns "The audit log can't be written"

http=$(temp_socket)
with_http=(--metrics-unix "$http")
case $("$NBDCRYPT" serve --metrics-listen 127.0.0.1:0 2>&1 || true) in
*'without libmicrohttpd'*) with_http=() ;;
esac

# page_warns TEXT: among its warnings is this; true where there is no page.
page_warns() {
    [ ${#with_http[@]} -gt 0 ] || return 0
    "$PYTHON" -c 'import sys; from metrics_text import get
sys.exit(sys.argv[2] not in get(sys.argv[1], "/status.json")[2])' "$http" "$1"
}
