#include "meshctl/echo.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/str.h"
#include "io/loop.h"
#include "wire/json.h"
#include "wire/name.h"

enum { ANSWER_MAX_BYTES = 128 * 1024 * 1024, FIELDS_MAX = 256, NAME_MAX_BYTES = 256, TARGET_MAX = 16 * 1024,
	PERCENT_100 = 100000 };

/* A reply that waits. Only the loop's thread touches it once it is posted. */
struct delayed {
	struct mesh__post post;
	struct delayed *next, **prev_next;
	struct ctl_echo *echo;
	struct mesh__timer *timer;
	mesh_inbound *inbound;
	int32_t status;
	struct mesh__buf body;
};

struct ctl_echo {
	const struct mesh__env *env;
	struct ctl_echo_options options;
	mesh *m;
	struct mesh__loop *loop;    /* NULL without a delay */
	struct delayed *waiting;    /* the loop's thread only */
	bool hurried;               /* the loop's thread only */
	struct mesh__post hurry;
};

int32_t ctl_echo_status(const struct ctl_echo_options *options, bool failed)
{
	if (options->fail_thousandths > 0) {
		return !failed ? 200 : options->status != 0 ? options->status : 500;
	}
	return options->status != 0 ? options->status : 200;
}

static void lower(const char *name, char *out, size_t cap)
{
	size_t i;

	for (i = 0; name[i] != '\0' && i + 1 < cap; i++) {
		out[i] = (char)(name[i] >= 'A' && name[i] <= 'Z' ? name[i] + ('a' - 'A') : name[i]);
	}
	out[i] = '\0';
}

/* One member a name, because JSON keys must differ; RFC 9110 section 5.3 allows the joining. */
static void write_headers(struct mesh__json_out *json, const struct ctl_echo_request *request)
{
	struct mesh__buf value;

	mesh__json_open(json, "headers", '{');
	for (size_t i = 0; i < request->n_fields; i++) {
		char name[NAME_MAX_BYTES];
		bool seen = false;
		for (size_t j = 0; j < i && !seen; j++) {
			seen = strcasecmp(request->fields[j].name, request->fields[i].name) == 0;
		}
		if (seen) {
			continue;
		}
		lower(request->fields[i].name, name, sizeof(name));
		mesh__buf_init(&value, json->buf->mem, ANSWER_MAX_BYTES);
		mesh__buf_str(&value, request->fields[i].value);
		for (size_t j = i + 1; j < request->n_fields; j++) {
			if (strcasecmp(request->fields[j].name, request->fields[i].name) == 0) {
				mesh__buf_printf(&value, ", %s", request->fields[j].value);
			}
		}
		mesh__json_put_text(json, name, value.data != NULL ? value.data : "");
		mesh__buf_fini(&value);
	}
	mesh__json_close(json, '}');
}

void ctl_echo_write(const struct ctl_echo_request *request, struct mesh__buf *out)
{
	struct mesh__json_out json = {out, false};
	char path[TARGET_MAX];

	(void)snprintf(path, sizeof(path), "%s%s%s", request->path, request->query[0] != '\0' ? "?" : "", request->query);
	mesh__json_open(&json, NULL, '{');
	mesh__json_put_text(&json, "service", request->service);
	mesh__json_put_text(&json, "instance", request->instance);
	mesh__json_put_text(&json, "version", request->version != NULL ? request->version : "");
	mesh__json_put_text(&json, "peer", request->peer);
	mesh__json_put_text(&json, "method", request->method);
	mesh__json_put_text(&json, "path", path);
	write_headers(&json, request);
	mesh__json_put_int(&json, "tryNumber", request->try_number);
	mesh__json_put_int(&json, "httpVersion", request->http_version);
	if (request->body_len > 0 && mesh__str_utf8(request->body, request->body_len) &&
		memchr(request->body, '\0', request->body_len) == NULL) {
		mesh__json_put_text(&json, "body", request->body);
	} else if (request->body_len > 0) {
		mesh__json_put_int(&json, "bodyBytes", (int64_t)request->body_len); /* not text: JSON cannot carry it */
	}
	mesh__json_close(&json, '}');
	mesh__buf_chr(out, '\n');
}

/* With a token alone, it is the token's record that says which service this is. */
static void take_name(struct ctl_echo *echo, struct mesh__name *name)
{
	char *spiffe = mesh_identity(echo->m);

	if (spiffe == NULL || !mesh__spiffe_parse(spiffe, strlen(spiffe), name)) {
		(void)snprintf(name->service, sizeof(name->service), "%s", echo->options.service);
	}
	mesh_string_free(spiffe);
}

static void answer(struct ctl_echo *echo, const mesh_inbound *inbound, struct mesh__buf *out)
{
	struct ctl_echo_field fields[FIELDS_MAX];
	struct mesh__name name;
	struct ctl_echo_request request = {0};
	char *instance = mesh_instance(echo->m);

	while (request.n_fields < FIELDS_MAX && mesh_inbound_field(inbound, request.n_fields,
		&fields[request.n_fields].name, &fields[request.n_fields].value) == 1) {
		request.n_fields++;
	}
	take_name(echo, &name);
	request.service = name.service;
	request.version = echo->options.version;
	request.instance = instance != NULL ? instance : "";
	request.peer = mesh_inbound_peer(inbound);
	request.method = mesh_inbound_method(inbound);
	request.path = mesh_inbound_path(inbound);
	request.query = mesh_inbound_query(inbound);
	request.fields = fields;
	request.try_number = mesh_inbound_try(inbound);
	request.http_version = mesh_inbound_http_version(inbound);
	request.body = mesh_inbound_body(inbound, &request.body_len);
	ctl_echo_write(&request, out);
	mesh_string_free(instance);
}

static void reply(mesh_inbound *inbound, int32_t status, const struct mesh__buf *body)
{
	(void)mesh_reply_header(inbound, "content-type", "application/json");
	(void)mesh_reply(inbound, body->error == MESH_OK ? status : 500, body->data, body->error == MESH_OK ? body->len : 0);
}

/* ---- Delays ---- */

static void delayed_end(struct delayed *d)
{
	*d->prev_next = d->next;
	if (d->next != NULL) {
		d->next->prev_next = d->prev_next;
	}
	mesh__timer_free(d->timer);
	reply(d->inbound, d->status, &d->body);
	mesh__buf_fini(&d->body);
	mesh__free(d);
}

static void on_timer(void *arg)
{
	delayed_end(arg);
}

static void on_posted(void *arg)
{
	struct delayed *d = arg;
	struct ctl_echo *echo = d->echo;

	d->next = echo->waiting;
	d->prev_next = &echo->waiting;
	if (d->next != NULL) {
		d->next->prev_next = &d->next;
	}
	echo->waiting = d;
	if (echo->hurried || mesh__timer_new(echo->loop, on_timer, d, &d->timer) != MESH_OK) {
		delayed_end(d);
	} else {
		mesh__timer_start(d->timer, echo->options.delay_ms, 0);
	}
}

static void on_hurry(void *arg)
{
	struct ctl_echo *echo = arg;

	echo->hurried = true;
	while (echo->waiting != NULL) {
		delayed_end(echo->waiting);
	}
}

void ctl_echo_hurry(struct ctl_echo *echo)
{
	if (echo->loop != NULL) {
		mesh__loop_post(echo->loop, &echo->hurry, on_hurry, echo);
	}
}

/* ---- The handler ---- */

void ctl_echo_handle(void *user, mesh_inbound *inbound)
{
	struct ctl_echo *echo = user;
	bool failed = echo->options.fail_thousandths > 0 &&
		mesh__dice_below(echo->env, PERCENT_100) < (uint64_t)echo->options.fail_thousandths;
	int32_t status = ctl_echo_status(&echo->options, failed);
	struct delayed *d = echo->loop != NULL ? mesh__alloc(&echo->env->mem, sizeof(*d)) : NULL;
	struct mesh__buf body;

	mesh__buf_init(&body, &echo->env->mem, ANSWER_MAX_BYTES);
	answer(echo, inbound, &body);
	if (d == NULL) {
		reply(inbound, status, &body);
		mesh__buf_fini(&body);
		return;
	}
	d->echo = echo;
	d->inbound = inbound;
	d->status = status;
	d->body = body;
	mesh__loop_post(echo->loop, &d->post, on_posted, d);
}

void ctl_echo_mesh(struct ctl_echo *echo, mesh *m)
{
	echo->m = m;
}

int ctl_echo_new(const struct mesh__env *env, const struct ctl_echo_options *options, struct ctl_echo **out,
	struct mesh__err *err)
{
	struct ctl_echo *echo = mesh__alloc(&env->mem, sizeof(*echo));
	int code = MESH_OK;

	*out = NULL;
	if (echo == NULL) {
		return mesh__fail_memory(err);
	}
	echo->env = env;
	echo->options = *options;
	if (options->delay_ms > 0) {
		code = mesh__loop_new(env, &echo->loop, err);
	}
	if (code == MESH_OK && echo->loop != NULL) {
		code = mesh__loop_start(echo->loop, "meshctl-delay", err);
		if (code != MESH_OK) {
			mesh__loop_free(echo->loop);
			echo->loop = NULL;
		}
	}
	if (code != MESH_OK) {
		mesh__free(echo);
		return code;
	}
	*out = echo;
	return MESH_OK;
}

void ctl_echo_free(struct ctl_echo *echo)
{
	if (echo == NULL) {
		return;
	}
	if (echo->loop != NULL) {
		mesh__loop_stop(echo->loop);
		mesh__loop_join(echo->loop);
		mesh__loop_free(echo->loop);
	}
	mesh__free(echo);
}
