/*
 * HTTP/1.1 requests from anybody: no input crashes, what is taken is valid in every part, and it is taken alike however the bytes are cut. A stream of requests is read as the server
 * reads it: header, body, next header.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "http/h1.h"
#include "http/h1_chunks.h"
#include "http/h1_scan.h"
#include "wire/url.h"

enum { MAX_HEADER = 4096, MAX_FIELDS = 16, MAX_BODY = 4096 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds)
{
	if (!holds) {
		abort();
	}
}

/* What a reading came to: compared between two ways to cut the input. */
struct outcome {
	enum mesh__refusal refusal;
	size_t n_requests;
	uint64_t sum; /* of all that was taken */
};

static void add(struct outcome *o, const char *text)
{
	do {
		o->sum = (o->sum ^ (unsigned char)*text) * 1099511628211U;
	} while (*text++ != '\0');
}

static void check_head(const struct mesh__request_head *head, struct outcome *o)
{
	check(mesh__method_valid(head->method));
	check(mesh__target_valid(head->path, strlen(head->path)));
	check(strchr(head->path, '?') == NULL && strchr(head->query, '#') == NULL);
	check(head->content_length <= MAX_BODY && !(head->chunked && (head->content_length > 0 || head->http_1_0)));
	add(o, head->method);
	add(o, head->path);
	add(o, head->query);
	for (size_t i = 0; i < head->n_fields; i++) {
		const struct mesh__field_text *f = &head->fields[i];

		check(mesh__field_name_valid(f->name, strlen(f->name)) && mesh__field_value_valid(f->value, strlen(f->value)));
		add(o, f->name);
		add(o, f->value);
	}
}

/* One header from data[*at]; false when there is none, or it was refused. */
static bool read_head(const char *data, size_t size, size_t *at, size_t step, struct mesh__request_head *head, struct outcome *o)
{
	static struct mesh__field_text fields[MAX_FIELDS];
	static char text[MAX_HEADER + 1];
	struct mesh__h1_scan scan;
	size_t begin = *at, skip = 0, used;
	bool done = false;

	mesh__h1_scan_init(&scan, MAX_HEADER, MAX_FIELDS);
	while (!done && *at < size && o->refusal == MESH__REFUSAL_NONE) {
		used = 0;
		o->refusal = mesh__h1_scan(&scan, data + *at, size - *at < step ? size - *at : step, &used, &done);
		*at += used;
	}
	if (!done || o->refusal != MESH__REFUSAL_NONE) {
		return false;
	}
	while (data[begin + skip] == '\r' || data[begin + skip] == '\n') {
		skip++;
	}
	check(*at - begin <= MAX_HEADER);
	memcpy(text, data + begin + skip, *at - begin - skip);
	text[*at - begin - skip] = '\0';
	o->refusal = mesh__h1_parse(text, *at - begin - skip, fields, scan.n_fields, MAX_BODY, head);
	if (o->refusal != MESH__REFUSAL_NONE) {
		return false;
	}
	check_head(head, o);
	return true;
}

static bool read_chunks(const char *data, size_t size, size_t *at, size_t step, struct outcome *o)
{
	struct mesh__h1_chunks chunks;
	struct mesh__buf body;
	bool done = false;
	size_t used;

	mesh__buf_init(&body, mesh__mem_libc(), MAX_BODY);
	mesh__h1_chunks_init(&chunks, NULL);
	while (!done && *at < size && o->refusal == MESH__REFUSAL_NONE) {
		used = 0;
		o->refusal = mesh__h1_chunks(&chunks, data + *at, size - *at < step ? size - *at : step, &body, &used, &done);
		*at += used;
	}
	check(body.len <= MAX_BODY && body.error == MESH_OK);
	if (done) {
		add(o, body.data != NULL ? body.data : "");
	}
	mesh__buf_fini(&body);
	return done;
}

static struct outcome read_all(const char *data, size_t size, size_t step)
{
	struct outcome o = {.refusal = MESH__REFUSAL_NONE};
	struct mesh__request_head head;
	size_t at = 0;

	while (at < size && read_head(data, size, &at, step, &head, &o)) {
		if (head.chunked) {
			if (!read_chunks(data, size, &at, step, &o)) {
				break;
			}
		} else if (head.content_length > size - at) {
			break;
		} else {
			at += (size_t)head.content_length;
		}
		o.n_requests++;
	}
	return o;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct outcome whole = read_all((const char *)data, size, SIZE_MAX);
	struct outcome pieces = read_all((const char *)data, size, 1 + size % 7);

	check(whole.refusal == pieces.refusal && whole.n_requests == pieces.n_requests && whole.sum == pieces.sum);
	return 0;
}
