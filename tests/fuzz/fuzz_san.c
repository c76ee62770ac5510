/*
 * The bytes of a subject alternative name extension, put into an otherwise good leaf, an intermediate's place and a request: the three readers of it must agree with each other and with a walk over the bytes
 * that knows nothing of mbedTLS.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "io/pki.h"
#include "check.h"
#include "support/base64.h"

enum { SEQUENCE = 0x30, SET = 0x31, INTEGER = 2, BIT_STRING = 3, OCTET_STRING = 4, OID = 6, BOOLEAN = 1, UTC_TIME = 0x17, CONTEXT = 0xa0, URI = 0x86, DNS = 0x82, NAMES_MAX = 16 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* ---- Around the names ---- */

#define PUT(out, tag, text) put(out, tag, text, sizeof(text) - 1)
static void put(struct mesh__buf *out, int tag, const void *bytes, size_t len)
{
	mesh__buf_chr(out, (char)tag);
	if (len > 0xff) {
		mesh__buf_chr(out, (char)0x82);
		mesh__buf_chr(out, (char)(len >> 8));
	} else if (len > 0x7f) {
		mesh__buf_chr(out, (char)0x81);
	}
	mesh__buf_chr(out, (char)len);
	mesh__buf_add(out, bytes, len);
}

/* What the buffer holds becomes the contents of one element. */
static void wrap(struct mesh__buf *buf, int tag)
{
	struct mesh__buf whole;

	mesh__buf_init(&whole, buf->mem, buf->max_bytes);
	put(&whole, tag, buf->data, buf->len);
	mesh__buf_fini(buf);
	*buf = whole;
}

#define ALGORITHM "\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x02" /* ecdsa-with-SHA256 */
#define ISSUER "\x30\x0c\x31\x0a\x30\x08\x06\x03\x55\x04\x03\x0c\x01x" /* CN=x */
#define PUBLIC_KEY /* P-256, the base point */                                                                          \
	"\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x03\x42\x00\x04"          \
	"\x6b\x17\xd1\xf2\xe1\x2c\x42\x47\xf8\xbc\xe6\xe5\x63\xa4\x40\xf2\x77\x03\x7d\x81\x2d\xeb\x33\xa0\xf4\xa1\x39\x45\xd8\x98\xc2\x96" \
	"\x4f\xe3\x42\xe2\xfe\x1a\x7f\x9b\x8e\xe7\xeb\x4a\x7c\x0f\x9e\x16\x2b\xce\x33\x57\x6b\x31\x5e\xce\xcb\xb6\x40\x68\x37\xbf\x51\xf5"
#define EKU "\x30\x1d\x06\x03\x55\x1d\x25\x04\x16\x30\x14\x06\x08\x2b\x06\x01\x05\x05\x07\x03\x01\x06\x08\x2b\x06\x01\x05\x05\x07\x03\x02"
#define ADD(out, text) mesh__buf_add(out, text, sizeof(text) - 1)

/* SEQUENCE { subjectAltName, the bytes }. */
static void san_extension(struct mesh__buf *out, const uint8_t *san, size_t size)
{
	PUT(out, OID, "\x55\x1d\x11");
	put(out, OCTET_STRING, san, size);
	wrap(out, SEQUENCE);
}

/* The algorithm and a signature, which nobody can read, behind what is signed. */
static void sign(struct mesh__buf *body)
{
	wrap(body, SEQUENCE);
	ADD(body, ALGORITHM);
	PUT(body, BIT_STRING, "\x00\x30\x00");
	wrap(body, SEQUENCE);
}

static void make_certificate(struct mesh__buf *out, const struct mesh__buf *extension)
{
	struct mesh__buf extensions;

	mesh__buf_init(&extensions, mesh__mem_libc(), 1 << 17);
	ADD(&extensions, EKU);
	mesh__buf_add(&extensions, extension->data, extension->len);
	wrap(&extensions, SEQUENCE);
	ADD(out, "\xa0\x03\x02\x01\x02" "\x02\x01\x07" ALGORITHM ISSUER "\x30\x1e\x17\x0d" "260101000000Z" "\x17\x0d" "300101000000Z" "\x30\x00" PUBLIC_KEY);
	put(out, CONTEXT + 3, extensions.data, extensions.len);
	sign(out);
	mesh__buf_fini(&extensions);
}

static void make_request(struct mesh__buf *out, const struct mesh__buf *extension)
{
	struct mesh__buf attributes, value;

	mesh__buf_init(&attributes, mesh__mem_libc(), 1 << 17);
	mesh__buf_init(&value, mesh__mem_libc(), 1 << 17);
	put(&value, SEQUENCE, extension->data, extension->len);
	PUT(&attributes, OID, "\x2a\x86\x48\x86\xf7\x0d\x01\x09\x0e"); /* extensionRequest */
	put(&attributes, SET, value.data, value.len);
	wrap(&attributes, SEQUENCE);
	wrap(&attributes, CONTEXT);
	ADD(out, "\x02\x01\x00\x30\x00" PUBLIC_KEY);
	mesh__buf_add(out, attributes.data, attributes.len);
	sign(out);
	mesh__buf_fini(&value);
	mesh__buf_fini(&attributes);
}

/* ---- A walk over the names ---- */

struct span {
	const uint8_t *at;
	size_t len;
};

struct walk {
	bool whole;      /* a sequence of elements that fill it */
	bool plain;      /* and each of them DER, of a kind that no reader minds */
	size_t n, n_uri, n_dns;
	struct span uri, dns; /* the last ones */
};

static bool element(struct span *from, int *tag, struct span *value, bool *minimal)
{
	size_t head = 2, len;

	if (from->len < 2) {
		return false;
	}
	*tag = from->at[0];
	len = from->at[1];
	if (len > 0x80 && len < 0x85 && from->len >= 2 + (len & 0x7f)) {
		head += len & 0x7f;
		len = 0;
		for (size_t i = 2; i < head; i++) {
			len = len << 8 | from->at[i];
		}
		*minimal &= from->at[2] != 0 && len > 0x7f;
	} else if (len >= 0x80) {
		return false;
	}
	if (len > from->len - head) {
		return false;
	}
	*value = (struct span){from->at + head, len};
	from->at += head + len;
	from->len -= head + len;
	return true;
}

static struct walk walk_names(const uint8_t *data, size_t size)
{
	struct span rest = {data, size}, names, value;
	struct walk w = {.plain = true};
	int tag;

	if (!element(&rest, &tag, &names, &w.plain) || tag != SEQUENCE || rest.len > 0) {
		return w;
	}
	while (names.len > 0) {
		if (!element(&names, &tag, &value, &w.plain)) {
			return w;
		}
		w.n++;
		w.plain &= tag == URI || tag == DNS;
		w.n_uri += tag == URI;
		w.n_dns += tag == DNS;
		w.uri = tag == URI ? value : w.uri;
		w.dns = tag == DNS ? value : w.dns;
	}
	w.whole = true;
	return w;
}

static bool same(struct span value, const char *text)
{
	return value.len == strlen(text) && memcmp(value.at, text, value.len) == 0;
}

/* ---- The readers ---- */

static bool read_leaf(const struct mesh__buf *cert, const struct walk *w)
{
	char dns[MESH__DNS_MAX] = "";
	struct mesh__name name;
	struct mesh__leaf leaf;
	bool good = w->whole && w->n_uri == 1 && w->n_dns == 1 && w->n <= NAMES_MAX && mesh__spiffe_parse((const char *)w->uri.at, w->uri.len, &name);
	bool taken = mesh__pki_leaf_judge(cert->data, cert->len, &leaf, NULL, NULL) == MESH_OK;

	if (good) {
		mesh__dns_format(&name, dns);
		good = same(w->dns, dns);
	}
	CHECK(!taken || (good && same(w->uri, leaf.spiffe) && strcmp(leaf.serial, "7") == 0));
	CHECK(taken || !good || !w->plain);
	return taken;
}

static void read_ca(const struct mesh__buf *cert, const struct walk *w)
{
	bool taken = mesh__pki_ca_judge(cert->data, cert->len, "mesh.local", NULL) == MESH_OK;
	bool own = w->whole && (w->n_uri == 0 || (w->n_uri == 1 && same(w->uri, "spiffe://mesh.local")));

	CHECK(!taken || own);
	CHECK(taken || !own || !w->plain || w->n == 0);
}

/* Whoever signs is asked last: what the names are, has been settled then. */
static void read_request(const struct mesh__buf *request, const struct walk *w, bool leaf_taken)
{
	struct mesh__err err = MESH__NO_ERR;
	struct mesh__buf pem;
	struct mesh__csr asked;
	struct mesh__env env;
	bool taken;

	mesh__env_init(&env);
	mesh__buf_init(&pem, mesh__mem_libc(), 1 << 18);
	base64_pem(&pem, "CERTIFICATE REQUEST", request->data, request->len);
	CHECK(mesh__pki_csr_read(&env, pem.data, pem.len, &asked, &err) != MESH_OK);
	taken = strstr(err.message, "not signed by its own key") != NULL;
	CHECK(!taken || (w->whole && w->n_uri == (size_t)asked.has_uri && (!asked.has_uri || same(w->uri, asked.spiffe))));
	CHECK(taken || !leaf_taken);
	mesh__buf_fini(&pem);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct walk w = walk_names(data, size);
	struct mesh__buf extension, certificate, request;
	bool taken;

	if (size > 4096) {
		return 0;
	}
	mesh__buf_init(&extension, mesh__mem_libc(), 1 << 17);
	mesh__buf_init(&certificate, mesh__mem_libc(), 1 << 17);
	mesh__buf_init(&request, mesh__mem_libc(), 1 << 17);
	san_extension(&extension, data, size);
	make_certificate(&certificate, &extension);
	make_request(&request, &extension);
	taken = read_leaf(&certificate, &w);
	read_ca(&certificate, &w);
	read_request(&request, &w, taken);
	mesh__buf_fini(&request);
	mesh__buf_fini(&certificate);
	mesh__buf_fini(&extension);
	return 0;
}
