#include "meshca/help.h"

static const char program_text[] =
	"meshca: the certificate authority of a mesh. It alone holds a signing key.\n"
	"\n"
	"usage: meshca COMMAND [OPTIONS]\n"
	"\n"
	"  init          make a root, to be kept offline\n"
	"  intermediate  make an intermediate under a root, for a server to sign with\n"
	"  request       make a key and a request for an intermediate, where the key shall stay\n"
	"  sign          sign one certificate by hand\n"
	"  show          the facts of a CA directory or of any certificate\n"
	"  serve         the child of meshd that signs for it (you do not start this one)\n"
	"\n"
	"`meshca COMMAND --help` tells more. You need none of these to begin with: meshd starts\n"
	"`meshca serve`, which makes a root and an intermediate of its own at its first start.\n"
	"To keep the root off the server, before meshd's first start:\n"
	"\n"
	"  meshca init --dir root --trust-domain mesh.local      # on a machine without network\n"
	"  meshca intermediate --dir root --out ca               # there too; once a year again\n"
	"  mkdir -m 700 -p /var/lib/meshd                        # on the server\n"
	"  cp -r ca /var/lib/meshd/ca                            # carried there\n"
	"\n"
	"`meshca --version` tells its version. Exit codes: 0 fine, 1 failed, 2 usage.\n";

static const char init_text[] =
	"usage: meshca init --dir DIR [--trust-domain mesh.local] [--days 3650]\n"
	"\n"
	"Makes an offline root: DIR (mode 0700) with root.crt and root.key (0600). What is there is\n"
	"not overwritten. Every member of the mesh trusts this root, by the pin in its join token; whoever\n"
	"has root.key can be anybody. Keep DIR on a machine, or a stick, that is not on the network.\n"
	"\n"
	"  --dir DIR             where; its parent must exist\n"
	"  --trust-domain NAME   the mesh's name, in every identity (spiffe://NAME/...); it never\n"
	"                        changes. Default: mesh.local\n"
	"  --days N              the root's life, 1 to 36500. Default: 3650\n"
	"\n"
	"Next: meshca intermediate --dir DIR --out ca\n";

static const char intermediate_text[] =
	"usage: meshca intermediate --dir ROOTDIR --out DIR [--days 365] [--csr FILE]\n"
	"\n"
	"Makes an intermediate, signed by the root in ROOTDIR, in DIR (mode 0700): issuer.crt, issuer.key (0600)\n"
	"and roots.crt, a copy of the root. An intermediate that is there is not overwritten.\n"
	"Carry the three files into the directory `ca` in meshd's data directory. meshd signs with\n"
	"them until the intermediate ends; then make another one the same way.\n"
	"\n"
	"  --dir ROOTDIR   where `meshca init` made the root\n"
	"  --out DIR       where to put the intermediate\n"
	"  --days N        its life, 1 to 36500, ending with the root's at the latest. Default: 365\n"
	"  --csr FILE      certify the key of this request (see `meshca request`) instead of a new\n"
	"                  one: then no issuer.key is written. - is standard input\n";

static const char request_text[] =
	"usage: meshca request --out DIR\n"
	"\n"
	"For an intermediate whose key never travels: makes issuer.key (0600) and issuer.csr in DIR (mode 0700).\n"
	"Run it on the server, carry issuer.csr to the root, and carry back what that makes:\n"
	"\n"
	"  server$ meshca request --out /var/lib/meshd/ca\n"
	"  root$   meshca intermediate --dir root --csr issuer.csr --out ca\n"
	"  server$ cp issuer.crt roots.crt /var/lib/meshd/ca/\n"
	"\n"
	"  --out DIR   where; what is there is not overwritten\n";

static const char sign_text[] =
	"usage: meshca sign --dir DIR --csr FILE --service S [--namespace default] [--ttl 48h] [--out FILE]\n"
	"\n"
	"Signs one certificate by hand, with the intermediate in DIR, for a machine outside the join.\n"
	"The name comes from the options; a request that asks for another one is refused. The key must be P-256.\n"
	"Prints the leaf and the intermediate as PEM, and adds a line to DIR/issued.log before.\n"
	"A running mesh does not know of this certificate: to have it recorded, use `meshctl cert issue`.\n"
	"\n"
	"  --dir DIR         a directory with issuer.crt, issuer.key and roots.crt\n"
	"  --csr FILE        the certificate request, PEM; - is standard input\n"
	"  --service S       the service, such as payments\n"
	"  --namespace N     its namespace. Default: default\n"
	"  --ttl DURATION    its life from now, ending with the intermediate's at the latest. Default: 48h\n"
	"  --out FILE        write the certificates there instead of to standard output\n"
	"\n"
	"A request comes from, for instance:\n"
	"  openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes \\\n"
	"      -keyout payments.key -subj /CN=payments -out payments.csr\n";

static const char show_text[] =
	"usage: meshca show --dir DIR [-o json]\n"
	"       meshca show FILE [-o json]\n"
	"\n"
	"Shows the certificates of a CA directory (root.crt, roots.crt, issuer.crt), or every certificate of a PEM\n"
	"file (- is standard input): subject, serial, URI and DNS names, pin (the SHA-256 of the public\n"
	"key, as in join tokens), life, and whether it is a CA.\n"
	"\n"
	"  --dir DIR   a directory made by init, intermediate or serve\n"
	"  -o FORMAT   text (default), or json: an array of objects with the keys file, kind, subject,\n"
	"              issuer, serial, uri, dns, pin, notBefore, notAfter, ca, pathlen, selfSigned\n";

static const char serve_text[] =
	"usage: meshca serve --dir DIR --fd N [--trust-domain D] [--max-ttl 48h] [--rate 200] [--user NAME|UID]\n"
	"                    [--log-level info]\n"
	"\n"
	"The child of meshd: signs what it is asked for over the stream socket N, within limits that it holds\n"
	"to by itself. It ends when the other side closes the socket, or on SIGTERM.\n"
	"A DIR without a CA gets a root and an intermediate; half a CA is refused. While root.key is in\n"
	"DIR the intermediate is renewed by itself; take root.key away to a safe place once you have a\n"
	"plan for doing that by hand. Every certificate is a line in DIR/issued.log before it is handed out.\n"
	"\n"
	"  --dir DIR           the CA's directory, made with mode 0700 unless it is there\n"
	"  --fd N              the stream socket, inherited from the parent\n"
	"  --trust-domain D    refuse a DIR of another trust domain. A new CA's default: mesh.local\n"
	"  --max-ttl DURATION  the longest life of a leaf. Default: 48h\n"
	"  --rate N            certificates a second, 1 to 1000000. Default: 200\n"
	"  --user NAME|UID     started as root, become this user; DIR and its files are given to it.\n"
	"                      Default: the user meshca, else uid 63741. `--user 0` stays root, and says so\n"
	"  --log-level LEVEL   debug, info, warn, error or off. Default: info\n"
	"\n"
	"The log goes to standard error, one JSON object a line.\n";

const char *meshca_help_program(void)
{
	return program_text;
}

const char *meshca_help_command(enum meshca_command command)
{
	static const char *const texts[MESHCA_N_COMMANDS] = {
		[MESHCA_COMMAND_INIT] = init_text,       [MESHCA_COMMAND_INTERMEDIATE] = intermediate_text,
		[MESHCA_COMMAND_REQUEST] = request_text, [MESHCA_COMMAND_SIGN] = sign_text,
		[MESHCA_COMMAND_SHOW] = show_text,       [MESHCA_COMMAND_SERVE] = serve_text,
	};

	return (unsigned)command < MESHCA_N_COMMANDS ? texts[command] : program_text;
}
