#include "http/h1.h"

#include <llhttp.h>
#include <string.h>

#include "http/h1_byte.h"

/* ---- llhttp: is it HTTP, and where are its parts? ---- */

struct parse {
	char *text;
	char *target;
	size_t target_len;
	struct mesh__field_text *fields;
	size_t n_fields, max_fields;
	bool in_name;
	bool complete;
};

/* llhttp's pointers lead into p->text, which we may write to. */
static char *writable(const struct parse *p, const char *at)
{
	return p->text + (at - p->text);
}

static int on_url(llhttp_t *parser, const char *at, size_t len)
{
	struct parse *p = parser->data;

	if (p->target == NULL) {
		p->target = writable(p, at);
	}
	p->target_len += len;
	return 0;
}

static int on_name(llhttp_t *parser, const char *at, size_t len)
{
	struct parse *p = parser->data;

	(void)len;
	if (p->in_name) {
		return 0;
	}
	if (p->n_fields == p->max_fields) {
		return -1;
	}
	p->in_name = true;
	p->fields[p->n_fields++].name = writable(p, at);
	return 0;
}

static int on_name_complete(llhttp_t *parser)
{
	((struct parse *)parser->data)->in_name = false;
	return 0;
}

static int on_head_complete(llhttp_t *parser)
{
	(void)parser;
	return 1; /* the body is not llhttp's: mesh__h1_chunks() reads it more strictly */
}

static int on_complete(llhttp_t *parser)
{
	((struct parse *)parser->data)->complete = true;
	return 0;
}

static enum mesh__refusal run_llhttp(struct parse *p, size_t len, llhttp_t *parser)
{
	static const llhttp_settings_t settings = {
		.on_url = on_url,
		.on_header_field = on_name,
		.on_header_field_complete = on_name_complete,
		.on_headers_complete = on_head_complete,
		.on_message_complete = on_complete,
	};
	llhttp_errno_t rc;

	llhttp_init(parser, HTTP_REQUEST, &settings);
	parser->data = p;
	rc = llhttp_execute(parser, p->text, len);
	if (rc == HPE_INVALID_METHOD) {
		return MESH__REFUSAL_METHOD;
	}
	if (rc == HPE_INVALID_CONTENT_LENGTH || rc == HPE_UNEXPECTED_CONTENT_LENGTH || rc == HPE_INVALID_TRANSFER_ENCODING) {
		return MESH__REFUSAL_FRAMING;
	}
	if (rc == HPE_INVALID_URL) {
		return MESH__REFUSAL_TARGET;
	}
	return (rc == HPE_OK || rc == HPE_PAUSED_UPGRADE) && p->complete ? MESH__REFUSAL_NONE : MESH__REFUSAL_MALFORMED;
}

/* Ends each name at its colon and each value at its line end, both of which the scan has seen. */
static void cut_fields(struct parse *p)
{
	for (size_t i = 0; i < p->n_fields; i++) {
		char *c = writable(p, p->fields[i].name);
		char *end;

		for (; *c != ':'; c++) {
			*c = *c >= 'A' && *c <= 'Z' ? (char)(*c | 0x20) : *c;
		}
		*c++ = '\0';
		end = c + strcspn(c, "\r");
		while (mesh__byte_is_blank(*c)) {
			c++;
		}
		while (end > c && mesh__byte_is_blank(end[-1])) {
			end--;
		}
		*end = '\0';
		p->fields[i].value = c;
	}
}

/* ---- The first line ---- */

/* "METHOD SP target SP HTTP/1.x": the two versions that are spoken, single spaces, no CONNECT. Says so before llhttp, which knows more. */
static enum mesh__refusal judge_line(char *text, size_t len, struct mesh__request_head *head)
{
	size_t end = strcspn(text, "\r");
	size_t method = strcspn(text, " ");
	size_t target;

	if (end >= len || method >= end) {
		return MESH__REFUSAL_MALFORMED;
	}
	target = strcspn(text + method + 1, " \r");
	if (target == 0 || end < 9 || method + 1 + target + 9 != end || memcmp(text + end - 9, " HTTP/", 6) != 0) {
		return MESH__REFUSAL_MALFORMED;
	}
	head->http_1_0 = memcmp(text + end - 3, "1.0", 3) == 0;
	if (!head->http_1_0 && memcmp(text + end - 3, "1.1", 3) != 0) {
		return MESH__REFUSAL_VERSION;
	}
	return method == 7 && memcmp(text, "CONNECT", 7) == 0 ? MESH__REFUSAL_TARGET : MESH__REFUSAL_NONE;
}

enum mesh__refusal mesh__h1_parse(char *text, size_t len, struct mesh__field_text *fields, size_t max_fields, uint64_t max_body_bytes, struct mesh__request_head *out)
{
	struct parse p = {.text = text, .fields = fields, .max_fields = max_fields};
	enum mesh__refusal refusal;
	llhttp_t parser;

	*out = (struct mesh__request_head){.method = text, .path = "", .query = "", .fields = fields};
	refusal = judge_line(text, len, out);
	if (refusal != MESH__REFUSAL_NONE) {
		return refusal;
	}
	refusal = run_llhttp(&p, len, &parser);
	if (refusal != MESH__REFUSAL_NONE) {
		return refusal;
	}
	if (p.target == NULL || p.n_fields != max_fields) {
		return MESH__REFUSAL_MALFORMED; /* llhttp and the scan read it differently */
	}
	cut_fields(&p);
	out->n_fields = p.n_fields;
	text[strcspn(text, " ")] = '\0';
	p.target[p.target_len] = '\0';
	return mesh__request_judge(out, p.target, max_body_bytes);
}
