/* cert issue, show, revoke. */
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "io/pki.h"
#include "meshctl/admin.h"
#include "meshctl/files.h"
#include "meshctl/print.h"

enum { BODY_MAX_BYTES = 64 * 1024, TARGET_MAX = 1024 };

/* ---- issue ---- */

/* A certificate on its way from the key to the files. */
struct issue {
	struct ctl *ctl;
	const char *service, *ns, *dir;
	char *key_pem, *csr_pem;
	struct mesh__json *answer;
};

static int make_key(struct issue *i)
{
	struct mesh__err err = MESH__NO_ERR;
	int code = mesh__pki_key_new(&i->ctl->env, &i->key_pem, &err);

	if (code == MESH_OK) {
		code = mesh__pki_csr_new(&i->ctl->env, i->key_pem, NULL, &i->csr_pem, &err);
	}
	return code == MESH_OK ? CTL_OK : ctl_fail_err(i->ctl, CTL_FAILED, &err);
}

static int ask(struct issue *i)
{
	struct mesh__buf body;
	struct mesh__json_out json = {&body, false};
	int64_t ttl_ms = ctl_number(&i->ctl->args, "ttl", 0);
	int code;

	mesh__buf_init(&body, &i->ctl->env.mem, BODY_MAX_BYTES);
	mesh__json_open(&json, NULL, '{');
	mesh__json_put_text(&json, "service", i->service);
	mesh__json_put_text(&json, "namespace", i->ns);
	mesh__json_put_text(&json, "csr", i->csr_pem);
	if (ttl_ms > 0) {
		mesh__json_put_int(&json, "ttlMs", ttl_ms);
	}
	mesh__json_close(&json, '}');
	code = ctl_admin_once(i->ctl, "POST", "/v1/certificates", &body, &i->answer);
	mesh__buf_fini(&body);
	return code;
}

static int write_files(struct issue *i)
{
	const char *certificate = mesh__json_text(mesh__json_get(i->answer, "certificate")),
		*bundle = mesh__json_text(mesh__json_get(i->answer, "bundle"));
	const struct ctl_file files[] = {{"key.pem", i->key_pem, 0600}, {"cert.pem", certificate, 0644},
		{"bundle.pem", bundle, 0644}};
	struct mesh__err err = MESH__NO_ERR;

	if (certificate == NULL || bundle == NULL || !mesh__pki_matches(certificate, i->key_pem)) {
		return ctl_fail(i->ctl, CTL_FAILED, "what meshd answered is not a certificate for our key; nothing was written");
	}
	if (ctl_files_write(i->dir, files, MESH__COUNT(files), &err) != MESH_OK) {
		return ctl_fail_err(i->ctl, CTL_FAILED, &err);
	}
	return CTL_OK;
}

static void report(struct issue *i)
{
	static const char *const names[][2] = {{"key", "key.pem"}, {"certificate", "cert.pem"}, {"bundle", "bundle.pem"}};
	struct mesh__json_out json = {&i->ctl->out, false};
	const char *spiffe = mesh__json_text(mesh__json_get(i->answer, "spiffeId")),
		*serial = mesh__json_text(mesh__json_get(i->answer, "serial"));
	char path[PATH_MAX], until[CTL_TIME_TEXT] = "-";
	int64_t ms;

	if (!i->ctl->json) {
		if (mesh__json_i64(mesh__json_get(i->answer, "notAfter"), 0, INT64_MAX, &ms)) {
			ctl_time_format(ms, until);
		}
		mesh__buf_printf(&i->ctl->out, "%s until %s, serial %s: %s/key.pem, cert.pem, bundle.pem\n",
			spiffe != NULL ? spiffe : "?", until, serial != NULL ? serial : "?", i->dir);
		return;
	}
	mesh__json_open(&json, NULL, '{');
	mesh__json_put_text(&json, "spiffeId", spiffe);
	mesh__json_put_text(&json, "serial", serial);
	mesh__json_put_value(&json, "notAfter", mesh__json_get(i->answer, "notAfter"));
	for (size_t n = 0; n < MESH__COUNT(names); n++) {
		if (ctl_file_path(i->dir, names[n][1], path, sizeof(path))) {
			mesh__json_put_text(&json, names[n][0], path);
		}
	}
	mesh__json_close(&json, '}');
	mesh__buf_chr(&i->ctl->out, '\n');
}

static int issue_run(struct ctl *ctl)
{
	struct issue i = {.ctl = ctl, .service = ctl_text(&ctl->args, "service"), .ns = ctl_namespace(ctl),
		.dir = ctl_text(&ctl->args, "out")};
	struct mesh__err err = MESH__NO_ERR;
	struct mesh__name name;
	int code;

	if (i.service == NULL || i.dir == NULL) {
		return ctl_fail(ctl, CTL_USAGE, "for which service, and where to? meshctl cert issue --service NAME --out DIR");
	}
	if (mesh__service_parse(i.service, i.ns, &name, &err) != MESH_OK) {
		return ctl_fail_err(ctl, CTL_USAGE, &err);
	}
	i.service = name.service;
	i.ns = name.ns;
	code = make_key(&i);
	if (code == CTL_OK) {
		code = ask(&i);
	}
	if (code == CTL_OK) {
		code = write_files(&i);
	}
	if (code == CTL_OK) {
		report(&i);
	}
	mesh__free_secret(i.key_pem);
	mesh__free(i.csr_pem);
	mesh__json_free(i.answer);
	return code;
}

static const struct ctl_option issue_options[] = {
	{"service", 0, CTL_TEXT, "NAME", "whose certificate", 0, 0},
	{"namespace", 0, CTL_TEXT, "NAME", "its namespace (default: MESH_NAMESPACE, else \"default\")", 0, 0},
	{"out", 0, CTL_TEXT, "DIR", "where key.pem, cert.pem and bundle.pem go", 0, 0},
	{"ttl", 0, CTL_DURATION, "TIME", "how long it is good (default: as long as a joined service's)", 1000, INT64_C(365) * 86400000},
	{0},
};

const struct ctl_command ctl_cert_issue = {
	"cert issue", "", 0, 0, "make a key here and have meshd certify it",
	"For machines that do not join: other proxies, test clients. The key is made here and never leaves DIR (key.pem, 0600); meshd\n"
	"sees a request alone. Nobody renews this certificate: run it again before it ends.",
	"  $ meshctl cert issue --service payments --out ./payments-tls\n"
	"  $ curl --cert payments-tls/cert.pem --key payments-tls/key.pem --cacert payments-tls/bundle.pem …\n",
	issue_options, issue_run,
};

/* ---- show ---- */

static void cert_row(struct ctl_table *table, const struct mesh__json *c)
{
	bool revoked = false;
	const char *reason = mesh__json_text(mesh__json_get(c, "reason"));
	char state[256];

	(void)mesh__json_bool(mesh__json_get(c, "revoked"), &revoked);
	ctl_table_json(table, c, "serial");
	ctl_table_json(table, c, "spiffeId");
	ctl_table_json(table, c, "instance");
	ctl_table_time(table, c, "issued");
	ctl_table_time(table, c, "notAfter");
	ctl_table_json(table, c, "how");
	(void)snprintf(state, sizeof(state), "revoked%s%.200s", reason != NULL && reason[0] != '\0' ? ": " : "",
		reason != NULL ? reason : "");
	ctl_table_cell(table, revoked ? state : "good");
}

/* Serial numbers as openssl prints them (upper case, colons, leading zeros) are the same serial. */
static bool serial_is(const struct mesh__json *c, const char *wanted)
{
	const char *serial = mesh__json_text(mesh__json_get(c, "serial"));

	return serial != NULL && strcmp(serial, wanted) == 0;
}

static int normal_serial(struct ctl *ctl, const char *text, char *out)
{
	size_t n = 0;

	for (const char *p = text; *p != '\0'; p++) {
		char c = (char)(*p >= 'A' && *p <= 'F' ? *p + ('a' - 'A') : *p);
		bool digit = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
		if (c == ':' || (c == '0' && n == 0)) {
			continue;
		}
		if (!digit || n + 1 >= MESH__SERIAL_MAX) {
			return ctl_fail(ctl, CTL_USAGE, "\"%.60s\" is no serial number; `meshctl cert show` lists them", text);
		}
		out[n++] = c;
	}
	out[n] = '\0';
	return n > 0 ? CTL_OK : ctl_fail(ctl, CTL_USAGE, "\"%.60s\" is no serial number; `meshctl cert show` lists them", text);
}

static int show_list(struct ctl *ctl, const struct mesh__json *list, const char *serial)
{
	static const char *const heads[] = {"SERIAL", "SPIFFE ID", "INSTANCE", "ISSUED", "UNTIL", "HOW", "STATE"};
	struct mesh__json_out json = {&ctl->out, false};
	struct ctl_table table;
	size_t shown = 0;

	ctl_table_init(&table, &ctl->env.mem, heads, MESH__COUNT(heads));
	if (ctl->json && serial == NULL) {
		mesh__json_open(&json, NULL, '[');
	}
	for (const struct mesh__json *c = mesh__json_first(list); c != NULL; c = mesh__json_next(c)) {
		if (serial != NULL && !serial_is(c, serial)) {
			continue;
		}
		shown++;
		if (ctl->json) {
			mesh__json_put_value(&json, NULL, c);
		} else {
			cert_row(&table, c);
		}
	}
	if (ctl->json && serial == NULL) {
		mesh__json_close(&json, ']');
	}
	if (serial != NULL && shown == 0) {
		ctl_table_fini(&table);
		return ctl_fail(ctl, CTL_FAILED, "no certificate has the serial number %s", serial);
	}
	if (ctl->json) {
		mesh__buf_chr(&ctl->out, '\n');
	} else {
		ctl_table_print(&table, &ctl->out);
	}
	ctl_table_fini(&table);
	return CTL_OK;
}

static int show_target(struct ctl *ctl, struct mesh__buf *target)
{
	const char *service = ctl_text(&ctl->args, "service");
	struct mesh__err err = MESH__NO_ERR;
	char key[MESH__SERVICE_KEY_MAX];
	struct mesh__name name;

	mesh__buf_str(target, "/v1/certificates");
	if (service == NULL) {
		return CTL_OK;
	}
	if (mesh__service_parse(service, ctl_namespace(ctl), &name, &err) != MESH_OK) {
		return ctl_fail_err(ctl, CTL_USAGE, &err);
	}
	mesh__service_key(&name, key);
	ctl_target_query(target, "service", key);
	return CTL_OK;
}

static int show_run(struct ctl *ctl)
{
	char serial[MESH__SERIAL_MAX];
	const char *wanted = ctl_operand(&ctl->args, 0);
	struct mesh__json *list = NULL;
	struct mesh__buf target;
	int code = wanted != NULL ? normal_serial(ctl, wanted, serial) : CTL_OK;

	mesh__buf_init(&target, &ctl->env.mem, TARGET_MAX);
	if (code == CTL_OK) {
		code = show_target(ctl, &target);
	}
	if (code == CTL_OK) {
		code = target.error == MESH_OK ? ctl_admin_once(ctl, "GET", target.data, NULL, &list) : ctl_fail_memory(ctl);
	}
	if (code == CTL_OK) {
		code = show_list(ctl, list, wanted != NULL ? serial : NULL);
	}
	mesh__json_free(list);
	mesh__buf_fini(&target);
	return code;
}

static const struct ctl_option show_options[] = {
	{"service", 0, CTL_TEXT, "NAME", "those of one service (or NAME.NAMESPACE)", 0, 0},
	{"namespace", 0, CTL_TEXT, "NAME", "its namespace (default: MESH_NAMESPACE, else \"default\")", 0, 0},
	{0},
};

const struct ctl_command ctl_cert_show = {
	"cert show", "[SERIAL]", 0, 1, "show the certificates that were issued",
	"Lists the certificates that meshd had issued, or the one with SERIAL: for whom, how (token, renewal, admin), until when, and\n"
	"whether it is revoked. With -o json SERIAL gives one object.",
	"  $ meshctl cert show --service payments\n",
	show_options, show_run,
};

/* ---- revoke ---- */

static int revoke(struct ctl *ctl, const char *serial, struct mesh__json **answer)
{
	struct mesh__buf body;
	struct mesh__json_out json = {&body, false};
	int code;

	mesh__buf_init(&body, &ctl->env.mem, BODY_MAX_BYTES);
	mesh__json_open(&json, NULL, '{');
	mesh__json_put_text(&json, "serial", serial);
	mesh__json_put_text(&json, "reason", ctl_text(&ctl->args, "reason"));
	mesh__json_close(&json, '}');
	code = ctl_admin_once(ctl, "POST", "/v1/certificates/revoke", &body, answer);
	mesh__buf_fini(&body);
	return code;
}

static int revoke_run(struct ctl *ctl)
{
	char serial[MESH__SERIAL_MAX];
	struct mesh__json *answer = NULL;
	const struct mesh__json *revoked;
	int code = normal_serial(ctl, ctl_operand(&ctl->args, 0), serial);

	if (code == CTL_OK) {
		code = revoke(ctl, serial, &answer);
	}
	if (code == CTL_OK && ctl->json) {
		ctl_print_json(&ctl->out, answer);
	} else if (code == CTL_OK) {
		revoked = mesh__json_get(answer, "revoked");
		for (const struct mesh__json *s = mesh__json_first(revoked); s != NULL; s = mesh__json_next(s)) {
			mesh__buf_printf(&ctl->out, "%s\n", mesh__json_text(s) != NULL ? mesh__json_text(s) : "?");
		}
		ctl_say(ctl, "revoked: refused from now on in new handshakes and at renewal");
	}
	mesh__json_free(answer);
	return code;
}

static const struct ctl_option revoke_options[] = {
	{"reason", 0, CTL_TEXT, "TEXT", "for the audit log", 0, 0},
	{0},
};

const struct ctl_command ctl_cert_revoke = {
	"cert revoke", "SERIAL", 1, 1, "end a certificate before its time",
	"Revokes the certificate and those renewed from it: they are refused in new handshakes and at renewal. Prints the serials.\n"
	"SERIAL is taken as `meshctl cert show` or openssl print it.",
	"  $ meshctl cert revoke 3f9a0c51d2 --reason 'stolen laptop'\n",
	revoke_options, revoke_run,
};
