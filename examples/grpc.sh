#!/bin/sh
# A gRPC server and a gRPC client, neither of which knows of a mesh, in one: client, meshctl connect, mutual TLS, meshctl serve, server.
# MESH_BUILD names the build directory; it needs Debian's python3-grpcio.
set -u

here=$(cd "$(dirname "$0")" && pwd) || exit 1
PATH=$(cd "${MESH_BUILD:-build}/bin" && pwd):$PATH || exit 1
python=/usr/bin/python3
dir=$(mktemp -d "${TMPDIR:-/tmp}/mesh-grpc.XXXXXX") || exit 1
MESH_DATA=$dir/data
export MESH_DATA
pids=

cleanup() {
	for pid in $pids; do kill "$pid" 2>/dev/null; done
	for pid in $pids; do wait "$pid" 2>/dev/null; done
	rm -rf "$dir"
}
trap cleanup EXIT
trap 'exit 1' INT TERM HUP

# start NAME COMMAND…: in the background, its output in $dir/NAME
start() {
	name=$1
	shift
	"$@" >"$dir/$name" 2>"$dir/$name.err" &
	pids="$! $pids"
}

# told NAME EXPRESSION: what the first line of its output says, when it is there
told() {
	for _ in $(seq 400); do
		said=$(sed -n "s|$2|\\1|p" "$dir/$1" | head -n 1)
		[ -n "$said" ] && { echo "$said"; return; }
		sleep 0.05
	done
	cat "$dir/$1.err" >&2
	exit 1
}

start meshd meshd --data "$MESH_DATA" --listen 127.0.0.1:0 --admin 127.0.0.1:0
until [ -s "$MESH_DATA/meshd.json" ]; do sleep 0.05; done

start server "$python" -u "$here/greeter.py" serve
port=$(told server 'listening on \(.*\)') || exit 1

# Its service says what it speaks: that statuses are in trailers, and that a deadline is a grpc-timeout.
printf '{"apiVersion": "mesh/v1", "kind": "Service", "name": "greeter", "protocol": "grpc"}\n' >"$dir/service.json"
meshctl apply -f "$dir/service.json" >"$dir/apply" || exit 1
start serve meshctl serve --service greeter --listen 127.0.0.1:0 --upstream "http://127.0.0.1:$port" --upstream-protocol http2
told serve '\(serving\).*' >"$dir/ready" || exit 1
start connect meshctl connect --as web --listen 127.0.0.1:0 greeter
local=$(told connect 'connected http://\([^ ]*\).*') || exit 1

"$python" "$here/greeter.py" greet "$local" "${@:-world}"
