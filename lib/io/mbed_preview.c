#include "io/mbed_preview.h"

enum {
	RECORD_HEADER = 5,
	RECORD_MAX_BYTES = 16384 + 2048, /* RFC 5246 section 6.2.3 */
	TYPE_CHANGE_CIPHER_SPEC = 20,
	TYPE_HANDSHAKE = 22,
	TYPE_APPLICATION_DATA = 23,
	MESSAGE_CLIENT_HELLO = 1,
	MESSAGE_CERTIFICATE = 11,
	HELLO_FIXED_BYTES = 2 + 32, /* version, random: RFC 8446 section 4.1.2 */
	EXTENSION_SUPPORTED_VERSIONS = 43
};

/* What is left to read of a record or message. */
struct span {
	const unsigned char *p;
	size_t len;
};

static size_t be24(const unsigned char *p)
{
	return (size_t)p[0] << 16 | (size_t)p[1] << 8 | p[2];
}

static int refuse(struct mesh__preview *preview, struct mesh__err *err, int code, const char *word, const char *text)
{
	preview->word = word;
	return mesh__fail_at(err, MESH__ORIGIN_TLS, code, "the handshake is refused: %s", text);
}

/* Takes a part that three bytes of length stand before. */
static bool take(struct span *from, struct span *part)
{
	if (from->len < 3 || be24(from->p) > from->len - 3) {
		return false;
	}
	*part = (struct span){from->p + 3, be24(from->p)};
	from->p += 3 + part->len;
	from->len -= 3 + part->len;
	return true;
}

static bool skip(struct span *from, size_t n)
{
	if (from->len < n) {
		return false;
	}
	from->p += n;
	from->len -= n;
	return true;
}

/* Takes a part that `width` (1 or 2) bytes of length stand before. */
static bool take_short(struct span *from, size_t width, struct span *part)
{
	size_t n;

	if (from->len < width) {
		return false;
	}
	n = width == 1 ? from->p[0] : (size_t)from->p[0] << 8 | from->p[1];
	(void)skip(from, width);
	*part = (struct span){from->p, n};
	return skip(from, n);
}

static bool lists_tls13(struct span versions)
{
	struct span list;

	if (!take_short(&versions, 1, &list)) {
		return true;
	}
	for (; list.len >= 2; (void)skip(&list, 2)) {
		if (list.p[0] == 3 && list.p[1] == 4) {
			return true;
		}
	}
	return false;
}

static bool offers_tls13(struct span hello)
{
	struct span part, extensions;

	if (!skip(&hello, HELLO_FIXED_BYTES) || !take_short(&hello, 1, &part) || !take_short(&hello, 2, &part) || !take_short(&hello, 1, &part)) {
		return true; /* mbedTLS says what is wrong with it */
	}
	if (!take_short(&hello, 2, &extensions)) {
		return false; /* there are none */
	}
	while (extensions.len >= 2) {
		unsigned type = (unsigned)extensions.p[0] << 8 | extensions.p[1];
		(void)skip(&extensions, 2);
		if (!take_short(&extensions, 2, &part)) {
			return true;
		}
		if (type == EXTENSION_SUPPORTED_VERSIONS) {
			return lists_tls13(part);
		}
	}
	return false;
}

static int look_at_certificate(struct mesh__preview *preview, struct span der, struct mesh__err *err)
{
	mbedtls_x509_crt cert;
	bool parsed, modern;

	mbedtls_x509_crt_init(&cert);
	parsed = mbedtls_x509_crt_parse_der(&cert, der.p, der.len) == 0;
	modern = parsed && mesh__mbed_cert_modern(&cert);
	mbedtls_x509_crt_free(&cert);
	if (!parsed) {
		return refuse(preview, err, MESH_E_IDENTITY, "malformed", "a certificate of the peer cannot be parsed");
	}
	return modern ? MESH_OK : refuse(preview, err, MESH_E_IDENTITY, "key", MESH__CHAIN_NOT_MODERN);
}

static int look_at_list(struct mesh__preview *preview, struct span message, struct mesh__err *err)
{
	struct span list, der;
	size_t n = 0;
	int code = MESH_OK;

	if (!take(&message, &list) || message.len != 0) {
		return refuse(preview, err, MESH_E_TLS, "protocol", "the peer's list of certificates is malformed");
	}
	preview->certificate = list.len > 0;
	while (code == MESH_OK && list.len > 0) {
		if (!take(&list, &der)) {
			return refuse(preview, err, MESH_E_TLS, "protocol", "the peer's list of certificates is malformed");
		}
		if (++n > MESH__CHAIN_MAX) {
			return refuse(preview, err, MESH_E_IDENTITY, "chain", MESH__CHAIN_TOO_LONG);
		}
		code = look_at_certificate(preview, der, err);
	}
	return code;
}

static int look_at_messages(struct mesh__preview *preview, struct span record, struct mesh__err *err)
{
	int code = MESH_OK;

	if (record.len == 0) {
		return refuse(preview, err, MESH_E_TLS, "protocol", "an empty handshake record");
	}
	while (code == MESH_OK && record.len > 0) {
		unsigned char type = record.p[0];
		struct span rest = {record.p + 1, record.len - 1};
		struct span message;
		if (!take(&rest, &message)) {
			return refuse(preview, err, MESH_E_TLS, "protocol", "a handshake message in pieces");
		}
		if (type == MESSAGE_CERTIFICATE) {
			code = look_at_list(preview, message, err);
		} else if (type == MESSAGE_CLIENT_HELLO) {
			preview->tls13 = offers_tls13(message);
		}
		record = rest;
	}
	return code;
}

int mesh__preview(struct mesh__preview *preview, const unsigned char *bytes, size_t len, size_t *cleared, struct mesh__err *err)
{
	size_t at = 0;
	int code = MESH_OK;

	while (code == MESH_OK && !preview->done && len - at >= RECORD_HEADER) {
		const unsigned char *header = bytes + at;
		size_t n = (size_t)header[3] << 8 | header[4];
		if (header[0] < TYPE_CHANGE_CIPHER_SPEC || header[0] > TYPE_APPLICATION_DATA || header[1] != 3 || n > RECORD_MAX_BYTES) {
			return refuse(preview, err, MESH_E_TLS, "protocol", "what the peer sends is not TLS");
		}
		if (header[0] == TYPE_CHANGE_CIPHER_SPEC || header[0] == TYPE_APPLICATION_DATA) {
			preview->done = true;
			break;
		}
		if (len - at - RECORD_HEADER < n) {
			break;
		}
		if (header[0] == TYPE_HANDSHAKE) {
			code = look_at_messages(preview, (struct span){header + RECORD_HEADER, n}, err);
		}
		at += RECORD_HEADER + n;
	}
	*cleared = preview->done ? len : at;
	return code;
}
