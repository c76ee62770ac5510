#include "meshd/options.h"

#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"

enum { CONF_MAX_BYTES = 64 * 1024, DAY_MS = 24 * 60 * 60 * 1000 };

const char meshd_options_help[] =
	"meshd is the control server of a mesh: it admits services by join tokens, gives them certificates, tells each where\n"
	"the others are, and hands out their configuration.\n"
	"\n"
	"  meshd --data DIR                    a data directory is all it needs; it is made where it is missing\n"
	"\n"
	"  --listen ADDRESS:PORT               for applications, mutual TLS (127.0.0.1:7440); port 0: any\n"
	"  --admin ADDRESS:PORT                for operators, loopback only (127.0.0.1:7441); port 0: any\n"
	"  --trust-domain NAME                 the mesh's name in every identity (mesh.local); fixed at the first start\n"
	"  --leaf-ttl DURATION                 life of a service's certificate (48h)\n"
	"  --meshca PATH                       the CA's program (beside meshd, else in PATH)\n"
	"  --ca-user NAME|UID                  whom the CA runs as when meshd is started as root (meshca, else uid 63741)\n"
	"  --log-level LEVEL                   debug, info, warn, error or off (info)\n"
	"  --help, --version\n"
	"\n"
	"Each setting may also stand in the environment (MESHD_DATA, MESHD_LISTEN, MESHD_LEAF_TTL, ...) or in DIR/meshd.conf\n"
	"as \"leaf-ttl = 48h\" lines; a flag wins over the environment, and that over the file.\n"
	"\n"
	"Once it is ready, DIR/meshd.json says where it listens; `meshctl --data DIR check` asks it how it is.\n"
	"Next: meshctl --data DIR token create --service payments\n";

/* ---- One setting: how its text becomes a value. ---- */

typedef int (*set_fn)(void *field, const char *name, const char *text, struct mesh__err *err);

static int set_path(void *field, const char *name, const char *text, struct mesh__err *err)
{
	size_t len = strlen(text);

	if (len == 0 || len >= sizeof(((struct meshd_options *)NULL)->data)) {
		return mesh__fail(err, MESH_E_INVALID, "%s: the path is empty or too long", name);
	}
	memcpy(field, text, len + 1);
	return MESH_OK;
}

static int set_user(void *field, const char *name, const char *text, struct mesh__err *err)
{
	size_t len = strlen(text);

	if (len == 0 || len >= sizeof(((struct meshd_options *)NULL)->ca_user)) {
		return mesh__fail(err, MESH_E_INVALID, "%s: the user's name is empty or too long", name);
	}
	memcpy(field, text, len + 1);
	return MESH_OK;
}

static int set_listen(void *field, const char *name, const char *text, struct mesh__err *err)
{
	return mesh__addr_parse(name, text, true, field, err);
}

static int set_admin(void *field, const char *name, const char *text, struct mesh__err *err)
{
	struct mesh__addr *addr = field;

	if (mesh__addr_parse(name, text, true, addr, err) != MESH_OK) {
		return MESH_E_INVALID;
	}
	/* Plain HTTP with a bearer token: off this machine anybody on the way could take it. */
	if (!mesh__addr_is_loopback(addr)) {
		return mesh__fail(err, MESH_E_INVALID, "%s \"%s\" is not a loopback address; the admin interface is for this machine alone (127.0.0.1:7441)", name, text);
	}
	return MESH_OK;
}

static int set_domain(void *field, const char *name, const char *text, struct mesh__err *err)
{
	if (!mesh__trust_domain_valid(text, strlen(text))) {
		return mesh__fail(err, MESH_E_INVALID, "%s \"%.130s\" is no trust domain; use lower-case labels joined by dots, like mesh.local, at most %d characters",
			name, text, MESH__TRUST_DOMAIN_MAX);
	}
	memcpy(field, text, strlen(text) + 1);
	return MESH_OK;
}

static int set_duration(int64_t *field, int64_t min_ms, int64_t max_ms, const char *range, const char *name, const char *text, struct mesh__err *err)
{
	int64_t ms;

	if (!mesh__duration_parse(text, strlen(text), &ms) || ms < min_ms || ms > max_ms) {
		return mesh__fail(err, MESH_E_INVALID, "%s \"%.40s\" is no duration %s", name, text, range);
	}
	*field = ms;
	return MESH_OK;
}

static int set_ttl(void *field, const char *name, const char *text, struct mesh__err *err)
{
	return set_duration(field, 10000, 90LL * DAY_MS, "between 10s and 90d", name, text, err);
}

static int set_interval(void *field, const char *name, const char *text, struct mesh__err *err)
{
	return set_duration(field, 20, DAY_MS, "between 20ms and 1d", name, text, err);
}

static int set_grace(void *field, const char *name, const char *text, struct mesh__err *err)
{
	return set_duration(field, 0, DAY_MS, "between 0s and 1d", name, text, err);
}

static int set_level(void *field, const char *name, const char *text, struct mesh__err *err)
{
	if (!mesh__log_level_parse(text, field)) {
		return mesh__fail(err, MESH_E_INVALID, "%s \"%.40s\" is none of debug, info, warn, error, off", name, text);
	}
	return MESH_OK;
}

struct setting {
	const char *flag;
	const char *env;
	size_t offset;
	set_fn set;
};

#define AT(member) offsetof(struct meshd_options, member)

static const struct setting settings[] = {
	{"data", "MESHD_DATA", AT(data), set_path},
	{"listen", "MESHD_LISTEN", AT(listen), set_listen},
	{"admin", "MESHD_ADMIN", AT(admin), set_admin},
	{"trust-domain", "MESHD_TRUST_DOMAIN", AT(trust_domain), set_domain},
	{"leaf-ttl", "MESHD_LEAF_TTL", AT(leaf_ttl_ms), set_ttl},
	{"meshca", "MESHD_MESHCA", AT(meshca), set_path},
	{"ca-user", "MESHD_CA_USER", AT(ca_user), set_user},
	{"log-level", "MESHD_LOG_LEVEL", AT(log_level), set_level},
	/* For tests, which cannot wait: not in the help. */
	{"heartbeat", "MESHD_HEARTBEAT", AT(lease.heartbeat_ms), set_interval},
	{"lease", "MESHD_LEASE", AT(lease.lease_ms), set_interval},
	{"grace", "MESHD_GRACE", AT(lease.grace_ms), set_grace},
};

static const struct setting *find_setting(const char *name, size_t len)
{
	for (size_t i = 0; i < MESH__COUNT(settings); i++) {
		if (strlen(settings[i].flag) == len && memcmp(settings[i].flag, name, len) == 0) {
			return &settings[i];
		}
	}
	return NULL;
}

static int fail_unknown(const char *prefix, const char *name, struct mesh__err *err)
{
	const char *names[MESH__COUNT(settings)];
	const char *near;

	for (size_t i = 0; i < MESH__COUNT(settings); i++) {
		names[i] = settings[i].flag;
	}
	near = mesh__str_nearest(name, names, MESH__COUNT(settings));
	if (near != NULL) {
		return mesh__fail(err, MESH_E_INVALID, "there is no %s%.60s; did you mean %s%s?", prefix, name, prefix, near);
	}
	return mesh__fail(err, MESH_E_INVALID, "there is no %s%.60s; see meshd --help", prefix, name);
}

static int apply(struct meshd_options *options, const struct setting *setting, const char *name, const char *text, struct mesh__err *err)
{
	return setting->set((char *)options + setting->offset, name, text, err);
}

/* ---- The three sources. ---- */

/* Applies the flags; with `only`, that one alone (and nothing else is judged). */
static int read_flags(struct meshd_options *options, int argc, char *const *argv, const char *only, struct mesh__err *err)
{
	int code = MESH_OK;

	for (int i = 1; i < argc && code == MESH_OK; i++) {
		const char *name = argv[i] + 2;
		size_t len = strncmp(argv[i], "--", 2) == 0 ? strcspn(name, "=") : 0;
		const struct setting *setting = find_setting(name, len);
		const char *value = len > 0 && name[len] == '=' ? name + len + 1 : NULL;
		char label[80];

		if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
			options->help = true;
		} else if (strcmp(argv[i], "--version") == 0) {
			options->version = true;
		} else if (setting == NULL) {
			code = only != NULL ? MESH_OK : len > 0 ? fail_unknown("--", name, err) : mesh__fail(err, MESH_E_INVALID, "unexpected \"%.60s\"; see meshd --help", argv[i]);
		} else if (value == NULL && i + 1 >= argc) {
			code = mesh__fail(err, MESH_E_INVALID, "--%s needs a value", setting->flag);
		} else {
			value = value == NULL ? argv[++i] : value;
			(void)snprintf(label, sizeof(label), "--%s", setting->flag);
			if (only == NULL || strcmp(only, setting->flag) == 0) {
				code = apply(options, setting, label, value, err);
			}
		}
	}
	return code;
}

static int read_environment(struct meshd_options *options, char *(*getenv_fn)(const char *name), struct mesh__err *err)
{
	int code = MESH_OK;

	for (size_t i = 0; i < MESH__COUNT(settings) && code == MESH_OK; i++) {
		const char *text = getenv_fn(settings[i].env);

		if (text != NULL && text[0] != '\0') {
			code = apply(options, &settings[i], settings[i].env, text, err);
		}
	}
	return code;
}

static char *trim(char *text)
{
	size_t len;

	text += strspn(text, " \t\r");
	len = strlen(text);
	while (len > 0 && strchr(" \t\r", text[len - 1]) != NULL) {
		text[--len] = '\0';
	}
	return text;
}

static int read_line(struct meshd_options *options, const char *path, int number, char *line, struct mesh__err *err)
{
	const struct setting *setting;
	char *equals, *name;
	int code;

	line[strcspn(line, "#")] = '\0';
	name = trim(line);
	if (name[0] == '\0') {
		return MESH_OK;
	}
	equals = strchr(name, '=');
	if (equals == NULL) {
		return mesh__fail(err, MESH_E_INVALID, "%s:%d: write \"name = value\"", path, number);
	}
	*equals = '\0';
	name = trim(name);
	setting = find_setting(name, strlen(name));
	if (setting == NULL || strcmp(name, "data") == 0) {
		code = fail_unknown("setting ", name, err);
	} else {
		code = apply(options, setting, name, trim(equals + 1), err);
	}
	return code == MESH_OK ? MESH_OK : mesh__wrap(err, "%s:%d", path, number);
}

static int read_conf(struct meshd_options *options, struct mesh__err *err)
{
	char path[sizeof(options->data) + 16];
	struct mesh__err why = MESH__NO_ERR;
	char *text = NULL;
	int number = 0;
	int code;

	(void)snprintf(path, sizeof(path), "%s/meshd.conf", options->data);
	code = mesh__file_read(mesh__mem_libc(), path, CONF_MAX_BYTES, &text, NULL, &why);
	if (code == MESH_E_NOT_FOUND) {
		return MESH_OK;
	}
	if (code != MESH_OK) {
		return mesh__fail(err, code, "%s", why.message);
	}
	for (char *line = text, *next; line != NULL && code == MESH_OK; line = next) {
		number++;
		next = strchr(line, '\n');
		if (next != NULL) {
			*next++ = '\0';
		}
		code = read_line(options, path, number, line, err);
	}
	mesh__free(text);
	return code;
}

int meshd_options_read(struct meshd_options *options, int argc, char *const *argv, char *(*getenv_fn)(const char *name), struct mesh__err *err)
{
	const char *data_env = getenv_fn("MESHD_DATA");
	int code = MESH_OK;

	*options = (struct meshd_options){.listen = {.ip = "127.0.0.1", .port = 7440}, .admin = {.ip = "127.0.0.1", .port = 7441},
		.trust_domain = "mesh.local", .leaf_ttl_ms = 2LL * DAY_MS, .log_level = MESH__LOG_INFO};
	meshd_lease_rules_default(&options->lease);
	/* The directory first: the file is in it. */
	if (data_env != NULL && data_env[0] != '\0') {
		code = set_path(options->data, "MESHD_DATA", data_env, err);
	}
	code = code == MESH_OK ? read_flags(options, argc, argv, "data", err) : code;
	if (code != MESH_OK || options->help || options->version) {
		return code;
	}
	code = options->data[0] != '\0' ? read_conf(options, err) : MESH_OK;
	code = code == MESH_OK ? read_environment(options, getenv_fn, err) : code;
	code = code == MESH_OK ? read_flags(options, argc, argv, NULL, err) : code;
	if (code == MESH_OK && options->data[0] == '\0') {
		code = mesh__fail(err, MESH_E_INVALID, "where to keep the mesh's state? Say meshd --data DIR (made where it is missing), or set MESHD_DATA");
	}
	return code;
}
