#!/bin/sh
# The story of the mesh, told on real processes: each step says what it does and what came of it, and the whole fails at the first that does not hold.
# demo.sh [--http2] [--stay]: with --http2 every call goes over HTTP/2, with --stay what runs at the end is left running. MESH_BUILD names the build directory.
set -u

build=${MESH_BUILD:-build}
bin=$(cd "$build/bin" && pwd) || exit 1
PATH=$bin:$PATH
stay=no
protocol=http
for option in "$@"; do
	case $option in
	--stay) stay=yes ;;
	--http2) protocol=http2 ;;
	*) echo "usage: demo.sh [--http2] [--stay]" >&2 && exit 2 ;;
	esac
done
dir=$(mktemp -d "${TMPDIR:-/tmp}/mesh-demo.XXXXXX") || exit 1
MESH_DATA=$dir/meshd
export MESH_DATA
pids=
began=$(date +%s)

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }
[ -t 1 ] && [ -z "${NO_COLOR:-}" ] || say() { printf '\n%s\n' "$*"; }
told() { printf '   %s\n' "$*"; }

cleanup() {
	for pid in $pids; do kill "$pid" 2>/dev/null; done
	for pid in $pids; do wait "$pid" 2>/dev/null; done
	rm -rf "$dir"
}
trap cleanup EXIT
trap 'exit 1' INT TERM HUP

die() {
	printf '\nFAILED: %s\n' "$*" >&2
	for log in "$dir"/*.err; do
		[ -s "$log" ] && { echo "--- ${log##*/}" >&2; tail -n 5 "$log" >&2; }
	done
	exit 1
}

# start NAME COMMAND…: in the background, with its output in files; its pid in $started
start() {
	name=$1
	shift
	"$@" >"$dir/$name.out" 2>"$dir/$name.err" &
	started=$!
	pids="$pids $started"
}

# await WHAT SECONDS COMMAND…: until the command succeeds
await() {
	what=$1
	tries=$(($2 * 20))
	shift 2
	until "$@" >/dev/null 2>&1; do
		tries=$((tries - 1))
		[ "$tries" -gt 0 ] || die "not in time: $what"
		sleep 0.05
	done
}

# field FILE EXPRESSION: of the JSON object j in a file
field() { python3 -c 'import json,sys; j=json.load(open(sys.argv[1])); print(eval(sys.argv[2]))' "$1" "$2"; }

start_meshd() {
	if [ -n "${control:-}" ]; then
		start meshd meshd --data "$MESH_DATA" --listen "${control#https://}" --admin "${admin#http://}"
	else
		start meshd meshd --data "$MESH_DATA" --listen 127.0.0.1:0 --admin 127.0.0.1:0
	fi
	meshd_pid=$started
	await "meshd is ready" 10 test -s "$MESH_DATA/meshd.json"
	control=$(field "$MESH_DATA/meshd.json" 'j["control"]')
	admin=$(field "$MESH_DATA/meshd.json" 'j["admin"]')
}

# start_payments NAME VERSION: one replica, until it serves
start_payments() {
	start "$1" meshctl serve --service payments --version "$2" --listen 127.0.0.1:0 --echo
	await "$1 serves" 10 grep -q '^serving' "$dir/$1.out"
}

# calls NAME ARGUMENTS…: as the cart, the outcome as JSON in $dir/NAME.json
calls() {
	out=$1
	shift
	MESH_CONTROL=$control MESH_TOKEN=$cart_token MESH_STATE_DIR=$dir/state meshctl call --as cart payments /make-payment -X POST -d '{"amount": 12}' -o json "$@" >"$dir/$out.json" 2>"$dir/$out.err"
}

all_answered() {
	[ "$(field "$dir/$1.json" 'j["calls"]')" = "$2" ] || die "$1: $2 calls were to be made"
	[ "$(field "$dir/$1.json" 'j["failed"]')" = 0 ] || die "$1: $(field "$dir/$1.json" 'j["failed"]') calls failed: $(field "$dir/$1.json" 'j["errors"]')"
	told "$(field "$dir/$1.json" '"%d calls, %d answered, %d failed; p50 %.2f ms, p99 %.2f ms; by replica: %s" % (j["calls"], j["ok"], j["failed"], j["latencyMs"]["p50"], j["latencyMs"]["p99"], " ".join(map(str, j["instances"].values())))')"
}

say "1. A control server. All that it needs is a directory."
start_meshd
told "meshd is ready at $control; its CA runs as process $(pgrep -P "$meshd_pid" meshca | head -n 1) and alone holds the signing key"

if [ "$protocol" != http ]; then
	for service in payments files; do
		printf 'apiVersion: mesh/v1\nkind: Service\nname: %s\nprotocol: %s\n' "$service" "$protocol" >"$dir/$service.yaml"
		meshctl apply -f "$dir/$service.yaml" >/dev/null 2>"$dir/apply.err" || die "$service.yaml is not taken"
	done
	told "payments and files are called over $protocol"
fi

say "2. Three replicas of payments join, and an unchanged HTTP server behind a reverse proxy."
for i in 1 2 3; do
	start_payments "payments-$i" v1
	eval "replica_$i=$started"
done
mkdir "$dir/www"
echo "a file from an unchanged server" >"$dir/www/hello.txt"
start files python3 -u -m http.server 0 --bind 127.0.0.1 --directory "$dir/www"
await "the HTTP server listens" 10 grep -q 'port [0-9]' "$dir/files.out"
port=$(sed -n 's/.* port \([0-9]*\).*/\1/p' "$dir/files.out" | head -n 1)
start files-mesh meshctl serve --service files --listen 127.0.0.1:0 --upstream "http://127.0.0.1:$port"
await "files serves" 10 grep -q '^serving' "$dir/files-mesh.out"
meshctl endpoints payments | sed 's/^/   /'
[ "$(meshctl call --as cart files /hello.txt 2>"$dir/files-call.err")" = "a file from an unchanged server" ] || die "the file did not come through the mesh"
told "cart read hello.txt from files over mutual TLS: the server itself knows nothing of it"

say "3. The cart makes 2,000 payments."
cart_token=$(meshctl token create --service cart --uses 0) || die "no token"
calls first -n 2000 -c 8
all_answered first 2000
[ "$(field "$dir/first.json" 'len(j["instances"])')" = 3 ] || die "not every replica was used"
meshctl call --as cart payments / >"$dir/one.json" 2>"$dir/one.err" || die "one more is not answered"
told "a replica says that it is called over HTTP/$(field "$dir/one.json" 'j["httpVersion"]')"
[ "$protocol" = http ] || [ "$(field "$dir/one.json" 'j["httpVersion"]')" = 2 ] || die "it was to be HTTP/2"

say "4. 2,000 more, and one replica is killed with -9 in the middle."
calls killed -n 2000 -c 8 --rate 1000 &
load=$!
sleep 1
kill -9 "$replica_3"
wait "$load"
[ "$(field "$dir/killed.json" 'j["calls"]')" = 2000 ] || die "2000 calls were to be made"
[ "$(field "$dir/killed.json" 'j["failed"] <= 8 and set(j["errors"]) <= {"MESH_E_RESET"}')" = True ] ||
	die "more failed than was in flight: $(field "$dir/killed.json" 'j["errors"]')"
dead=$(sed -n 's/^serving .* on //p' "$dir/payments-3.out")
if grep '^meshctl: failed:' "$dir/killed.err" | grep -v -F "$dead; the request" >"$dir/elsewhere.err"; then
	die "a call failed that was not in flight on the killed replica: $(head -n 1 "$dir/elsewhere.err")"
fi
told "$(field "$dir/killed.json" '"%d answered; %d failed%s; %d tries" % (j["ok"], j["failed"], ", each in flight on that replica when it died" if j["failed"] else "", j["tries"])')"

say "5. A rolling restart under load: each replica is replaced while the cart goes on."
start_payments payments-4 v1
calls rolling -n 2400 -c 8 --rate 600 &
load=$!
new=5
for old in "$replica_1" "$replica_2"; do
	start_payments "payments-$new" v2
	kill "$old"
	wait "$old" || die "a replica did not stop in order"
	new=$((new + 1))
done
wait "$load"
all_answered rolling 2400
told "versions seen: $(field "$dir/rolling.json" 'j["versions"]')"

say "6. meshd is killed with -9. The cart calls on, and a restarted cart starts from what it kept."
unchanged=$(python3 -c 'import socket; s=socket.socket(); s.bind(("127.0.0.1",0)); print(s.getsockname()[1])')
start connect meshctl connect --as cart --listen "127.0.0.1:$unchanged" payments
await "an unchanged client reaches payments" 10 curl -fsS --noproxy '*' "http://127.0.0.1:$unchanged/"
calls during -n 2000 -c 8 --rate 1000 &
load=$!
sleep 1
kill -9 "$meshd_pid"
wait "$load"
all_answered during 2000
calls after -n 2000 -c 8
all_answered after 2000

say "7. meshd comes back, and a new replica is in use within a second."
rm -f "$MESH_DATA/meshd.json"
start_meshd
sees_cart() { meshctl members -o json | grep -q '/svc/cart"'; }
await "the cart is connected again" 15 sees_cart
start_payments payments-7 v3
registered=$(date +%s%N)
in_use() { curl -fsS --noproxy '*' "http://127.0.0.1:$unchanged/" | grep -q '"version": *"v3"'; }
await "the new replica is in use" 5 in_use
took=$((($(date +%s%N) - registered) / 1000000))
[ "$took" -lt 1000 ] || die "the new replica was in use after $took ms"
told "the running cart called it $took ms after its registration"

say "All of it held, in $(($(date +%s) - began)) seconds."
if [ "$stay" = yes ]; then
	trap - EXIT
	cat <<END

It is left running. To reach it:
   export PATH=$bin:\$PATH MESH_DATA=$MESH_DATA
   meshctl endpoints payments
   meshctl call --as cart payments /hello
   curl http://127.0.0.1:$unchanged/            # an unchanged client
   the dashboard: $admin/ with the token in $MESH_DATA/admin.token
To end it:
   kill$pids; rm -rf $dir
END
fi
exit 0
