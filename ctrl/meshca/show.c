#include "meshca/show.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/str.h"
#include "io/pki.h"
#include "meshca/dir.h"
#include "meshca/make.h"
#include "wire/json.h"
#include "wire/utc.h"

enum { TEXT_MAX_BYTES = 256 * 1024 };

struct report {
	const struct mesh__env *env;
	struct mesh__buf text;
	struct mesh__json_out json; /* into `text`, in case of json */
	bool as_json;
	size_t n;
};

/* A certificate as it is shown. */
struct shown {
	struct mesh__cert facts;
	bool self_signed;
	char pin[65], from[MESH__UTC_TEXT], until[MESH__UTC_TEXT];
};

static const char *kind_of(const struct shown *s)
{
	return !s->facts.ca ? "leaf" : s->self_signed ? "root" : "intermediate";
}

static void put_json(struct mesh__json_out *out, const char *file, const struct shown *s)
{
	const struct mesh__cert *c = &s->facts;

	mesh__json_open(out, NULL, '{');
	mesh__json_put_text(out, "file", file);
	mesh__json_put_text(out, "kind", kind_of(s));
	mesh__json_put_text(out, "subject", c->subject);
	mesh__json_put_text(out, "issuer", c->issuer);
	mesh__json_put_text(out, "serial", c->serial);
	mesh__json_put_text(out, "uri", c->uri);
	mesh__json_put_text(out, "dns", c->dns);
	mesh__json_put_text(out, "pin", s->pin);
	mesh__json_put_text(out, "notBefore", s->from);
	mesh__json_put_text(out, "notAfter", s->until);
	mesh__json_put_bool(out, "ca", c->ca);
	mesh__json_put_int(out, "pathlen", c->pathlen);
	mesh__json_put_bool(out, "selfSigned", s->self_signed);
	mesh__json_close(out, '}');
}

static void put_line(struct mesh__buf *text, const char *key, const char *value)
{
	if (value[0] != '\0') {
		mesh__buf_printf(text, "  %-11s %s\n", key, value);
	}
}

static void put_text(struct mesh__buf *text, const char *file, const struct shown *s)
{
	const struct mesh__cert *c = &s->facts;

	mesh__buf_printf(text, "%s%s: %s\n", text->len > 0 ? "\n" : "", file, kind_of(s));
	put_line(text, "subject", c->subject[0] != '\0' ? c->subject : "(empty)");
	put_line(text, "issuer", c->issuer);
	put_line(text, "serial", c->serial);
	put_line(text, "uri", c->uri);
	put_line(text, "dns", c->dns);
	put_line(text, "pin", s->pin);
	put_line(text, "not before", s->from);
	put_line(text, "not after", s->until);
	if (c->ca && c->pathlen >= 0) {
		mesh__buf_printf(text, "  %-11s true, path length %d\n", "CA", c->pathlen);
	} else {
		put_line(text, "CA", c->ca ? "true" : "false");
	}
}

static int put_cert(struct report *r, const char *file, const char *pem, struct mesh__err *err)
{
	struct shown shown;
	int code = mesh__pki_cert_read(pem, &shown.facts, err);

	if (code != MESH_OK) {
		return mesh__wrap(err, "%s", file);
	}
	shown.self_signed = mesh__pki_self_signed(pem);
	mesh__str_hex(shown.facts.pin, sizeof(shown.facts.pin), shown.pin);
	mesh__utc_format(shown.facts.not_before_ms, shown.from);
	mesh__utc_format(shown.facts.not_after_ms, shown.until);
	if (r->as_json) {
		put_json(&r->json, file, &shown);
	} else {
		put_text(&r->text, file, &shown);
	}
	r->n++;
	return MESH_OK;
}

/* Every certificate of a text. */
static int put_certs(struct report *r, const char *file, const char *pem, struct mesh__err *err)
{
	char *certs[MESH__CHAIN_MAX] = {NULL};
	size_t n = 0;
	int code = mesh__pki_split(&r->env->mem, pem, certs, &n, err);

	if (code != MESH_OK) {
		return mesh__wrap(err, "%s", file);
	}
	for (size_t i = 0; i < n; i++) {
		if (code == MESH_OK) {
			code = put_cert(r, file, certs[i], err);
		}
		mesh__free(certs[i]);
	}
	return code;
}

static int show_dir(struct report *r, const char *path, struct mesh__err *err)
{
	static const char *const names[] = {MESHCA_ROOT_CERT, MESHCA_ROOTS, MESHCA_ISSUER_CERT};
	struct meshca_dir dir;
	int code = meshca_dir_open(path, 0, &dir, err);

	for (size_t i = 0; code == MESH_OK && i < MESH__COUNT(names); i++) {
		char *pem = NULL;
		code = meshca_dir_read(&dir, &r->env->mem, names[i], MESHCA_CERTS_MAX_BYTES, false, &pem, err);
		if (code == MESH_OK) {
			code = put_certs(r, names[i], pem, err);
		} else if (code == MESH_E_NOT_FOUND) {
			code = MESH_OK;
		}
		mesh__free(pem);
	}
	if (code == MESH_OK && r->n == 0) {
		code = mesh__fail(err, MESH_E_NOT_FOUND, "%s: there is no CA here (none of %s, %s, %s)", path, names[0], names[1], names[2]);
	}
	meshca_dir_close(&dir);
	return code;
}

static int show_file(struct report *r, const char *path, struct mesh__err *err)
{
	char *pem = NULL;
	int code = meshca_file_read(&r->env->mem, path, MESH__PEM_MAX_BYTES, &pem, err);

	if (code == MESH_OK) {
		code = put_certs(r, path, pem, err);
	}
	mesh__free(pem);
	return code;
}

int meshca_run_show(const struct mesh__env *env, const struct meshca_options *options, struct mesh__err *err)
{
	struct report r = {.env = env, .as_json = options->json};
	int code;

	mesh__buf_init(&r.text, &env->mem, TEXT_MAX_BYTES);
	r.json.buf = &r.text;
	if (r.as_json) {
		mesh__json_open(&r.json, NULL, '[');
	}
	code = options->dir != NULL ? show_dir(&r, options->dir, err) : show_file(&r, options->file, err);
	if (r.as_json) {
		mesh__json_close(&r.json, ']');
		mesh__buf_chr(&r.text, '\n');
	}
	if (code == MESH_OK) {
		code = mesh__buf_error(&r.text, "the report", err);
	}
	if (code == MESH_OK && !meshca_write_all(STDOUT_FILENO, r.text.data, r.text.len)) {
		code = mesh__fail(err, MESH_E_IO, "standard output: %s", strerror(errno));
	}
	mesh__buf_fini(&r.text);
	return code;
}
