/*
 * Every function of the public header, used and held to what it says there:
 *
 *	api_tour CONTROL TOKEN-OF-PAYMENTS TOKEN-OF-CART
 *
 * Two meshes in one process: payments serves, cart calls. Exit code 0 when everything held.
 */
#include <meshlib/mesh.h>

#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>
#include <time.h>

#include "integration/check.h"

enum { READY_MS = 60000, DRAIN_MS = 20000, BIG = 300000 };

/* ---- What is injected ---- */

struct injected {
	atomic_long live, allocations;  /* blocks */
	atomic_long clock_reads, throws; /* of the dice */
	atomic_long lines, bad_lines;
};

static void *take(void *user, size_t size)
{
	struct injected *in = user;
	void *block = malloc(size);

	if (block != NULL) {
		atomic_fetch_add(&in->live, 1);
		atomic_fetch_add(&in->allocations, 1);
	}
	return block;
}

static void *resize(void *user, void *block, size_t size)
{
	struct injected *in = user;
	void *moved = realloc(block, size);

	if (moved != NULL && block == NULL) {
		atomic_fetch_add(&in->live, 1);
	}
	return moved;
}

static void release(void *user, void *block)
{
	struct injected *in = user;

	if (block != NULL) {
		atomic_fetch_sub(&in->live, 1);
	}
	free(block);
}

static int64_t clock_of(clockid_t id, int64_t per_second)
{
	struct timespec t;

	clock_gettime(id, &t);
	return (int64_t)t.tv_sec * per_second + t.tv_nsec / (1000000000 / per_second);
}

static int64_t mono_us(void *user)
{
	atomic_fetch_add(&((struct injected *)user)->clock_reads, 1);
	return clock_of(CLOCK_MONOTONIC, 1000000);
}

static int64_t wall_ms(void *user)
{
	atomic_fetch_add(&((struct injected *)user)->clock_reads, 1);
	return clock_of(CLOCK_REALTIME, 1000);
}

static uint64_t dice(void *user)
{
	static atomic_ullong x = 88172645463325252ULL;
	unsigned long long v = atomic_load(&x), next;

	do {
		next = v * 6364136223846793005ULL + 1442695040888963407ULL;
	} while (!atomic_compare_exchange_weak(&x, &v, next));
	atomic_fetch_add(&((struct injected *)user)->throws, 1);
	return next ^ next >> 29;
}

static void sink(void *user, int32_t level, const char *line)
{
	struct injected *in = user;

	atomic_fetch_add(&in->lines, 1);
	if (level < 0 || level > 3 || line[0] != '{' || line[strlen(line) - 1] != '}' || strchr(line, '\n') != NULL || strstr(line, "\"event\":") == NULL) {
		fprintf(stderr, "a log line that is none: level %d, %s\n", (int)level, line);
		atomic_fetch_add(&in->bad_lines, 1);
	}
	CHECK(strstr(line, "meshtok") == NULL);
}

/* ---- The library, codes, options ---- */

static void tour_library(void)
{
	static const char *const names[] = {"MESH_OK", "MESH_E_INVALID", "MESH_E_NO_MEMORY", "MESH_E_TIMEOUT", "MESH_E_CANCELLED", "MESH_E_CLOSED", "MESH_E_NO_SERVICE", "MESH_E_NO_ENDPOINT",
		"MESH_E_OVERLOADED", "MESH_E_CONNECT", "MESH_E_TLS", "MESH_E_IDENTITY", "MESH_E_RESET", "MESH_E_PROTOCOL", "MESH_E_TOO_LARGE", "MESH_E_CONTROL", "MESH_E_DENIED", "MESH_E_NOT_READY",
		"MESH_E_WOULD_BLOCK", "MESH_E_FORKED", "MESH_E_IO", "MESH_E_STATE", "MESH_E_NOT_FOUND", "MESH_E_EXISTS", "MESH_E_UNSUPPORTED", "MESH_E_INTERNAL"};
	int major, minor, patch;
	char rest;

	CHECK(sscanf(mesh_version(), "%d.%d.%d%c", &major, &minor, &patch, &rest) == 3);
	for (int32_t i = 0; i < (int32_t)(sizeof(names) / sizeof(names[0])); i++) {
		CHECK_TEXT(mesh_code_name(i), names[i]);
	}
	CHECK_TEXT(mesh_code_name(-1), "MESH_E_UNKNOWN");
	CHECK_TEXT(mesh_code_name(26), "MESH_E_UNKNOWN");
	CHECK_TEXT(mesh_code_name(INT32_MAX), "MESH_E_UNKNOWN");
	mesh_string_free(NULL);
	mesh_error_free(NULL);
	mesh_options_free(NULL);
	mesh_request_free(NULL);
}

static void tour_options(void)
{
	mesh_options *o = mesh_options_new();
	mesh *m = (mesh *)(uintptr_t)1;
	mesh_error *error = NULL;

	CHECK(o != NULL);
	CHECK_TEXT(mesh_options_message(o), "");
	CHECK_TEXT(mesh_options_get(o, "service"), NULL);
	CHECK_CODE(mesh_options_set(o, "service", "payments"), MESH_OK);
	CHECK_TEXT(mesh_options_get(o, "service"), "payments");
	CHECK_CODE(mesh_options_set(o, "servise", "payments"), MESH_E_INVALID);
	CHECK(strstr(mesh_options_message(o), "servise") != NULL);
	CHECK(strstr(mesh_options_message(o), "service") != NULL);
	CHECK_CODE(mesh_options_set(o, "service", "No Name"), MESH_E_INVALID);
	CHECK(strstr(mesh_options_message(o), "No Name") != NULL);
	CHECK_TEXT(mesh_options_get(o, "service"), "payments"); /* a refused value changes nothing */
	CHECK_CODE(mesh_options_set(o, "service", NULL), MESH_OK);
	CHECK_TEXT(mesh_options_get(o, "service"), NULL);
	CHECK_TEXT(mesh_options_get(o, "nothing"), NULL);
	/* A key without its certificate cannot be: nothing is opened, and the error says so. */
	CHECK_CODE(mesh_options_set(o, "key", "/nowhere/key.pem"), MESH_OK);
	CHECK_CODE(mesh_open(o, &m, &error), MESH_E_INVALID);
	CHECK(m == NULL && error != NULL);
	CHECK_CODE(mesh_error_code(error), MESH_E_INVALID);
	CHECK_TEXT(mesh_error_name(error), "MESH_E_INVALID");
	CHECK_TEXT(mesh_error_origin(error), "local");
	CHECK(strstr(mesh_error_message(error), "certificate") != NULL);
	CHECK(mesh_error_may_be_processed(error) == 0 && mesh_error_tries(error) == 0);
	CHECK_TEXT(mesh_error_endpoint(error, 0), NULL);
	mesh_error_free(error);
	CHECK_CODE(mesh_open(o, &m, NULL), MESH_E_INVALID); /* nobody wants to know why */
	mesh_options_free(o);
}

static mesh *open_with(struct injected *in, const char *control, const char *token, const char *service)
{
	mesh_options *o = mesh_options_new();
	mesh_error *error = NULL;
	mesh *m = NULL;

	CHECK_CODE(mesh_options_set(o, "control", control), MESH_OK);
	CHECK_CODE(mesh_options_set(o, "token", token), MESH_OK);
	CHECK_CODE(mesh_options_set(o, "service", service), MESH_OK);
	CHECK_CODE(mesh_options_set(o, "listen", "127.0.0.1:0"), MESH_OK);
	CHECK_CODE(mesh_options_set(o, "instance", service), MESH_OK);
	CHECK_CODE(mesh_options_set(o, "version", "v1"), MESH_OK);
	CHECK_CODE(mesh_options_set(o, "max_body", "400000"), MESH_OK);
	mesh_options_log(o, sink, in);
	mesh_options_allocator(o, take, resize, release, in);
	mesh_options_clock(o, mono_us, wall_ms, in);
	mesh_options_dice(o, dice, in);
	if (mesh_open(o, &m, &error) != MESH_OK) {
		fprintf(stderr, "open %s: %s\n", service, mesh_error_message(error));
		exit(1);
	}
	mesh_options_free(o); /* "at any time after mesh_open()" */
	return m;
}

/* ---- The server's side ---- */

struct later {
	pthread_t thread;
	mesh_inbound *inbound;
	mesh *m;
	sem_t bounded;                   /* posted when the handler of /bounded is done */
	_Atomic(mesh_inbound *) never;   /* not replied to in time */
};

/* A reply from a thread of the application's own. */
static void *reply_later(void *arg)
{
	struct later *l = arg;

	CHECK_CODE(mesh_reply(l->inbound, 202, "later", 5), MESH_OK);
	return NULL;
}

/* A call made for the inbound one: to another path of the same service, within what is left of its deadline. */
static void call_on(struct later *l)
{
	mesh_request *r = mesh_request_new(l->m, "payments", "GET", "/inner");

	CHECK_CODE(mesh_request_parent(r, l->inbound), MESH_OK);
	CHECK_CODE(mesh_call(r), MESH_OK);
	CHECK(mesh_response_status(r) == 200);
	CHECK_CODE(mesh_reply(l->inbound, 200, mesh_response_body(r, NULL), strlen(mesh_response_body(r, NULL))), MESH_OK);
	mesh_request_free(r);
}

/* The inner call would have a minute; what is left of the outer one's deadline ends it. */
static void call_bounded(struct later *l, mesh_inbound *in)
{
	mesh_request *r = mesh_request_new(l->m, "payments", "GET", "/never");
	int64_t began_us = clock_of(CLOCK_MONOTONIC, 1000000);

	CHECK_CODE(mesh_request_timeout(r, 60000), MESH_OK);
	CHECK_CODE(mesh_request_parent(r, in), MESH_OK);
	CHECK_CODE(mesh_call(r), MESH_E_TIMEOUT);
	CHECK(clock_of(CLOCK_MONOTONIC, 1000000) - began_us < 30000000);
	mesh_request_free(r);
	(void)mesh_reply(in, 200, NULL, 0); /* too late for whoever asked: dropped */
	sem_post(&l->bounded);
}

static void check_inbound(mesh_inbound *in)
{
	const char *name = NULL, *value = NULL, *body;
	char *address;
	size_t len = 99, n = 0;

	CHECK_TEXT(mesh_inbound_method(in), "POST");
	CHECK_TEXT(mesh_inbound_query(in), "a=1&b=%20");
	CHECK_TEXT(mesh_inbound_header(in, "X-MINE"), "yes");
	CHECK_TEXT(mesh_inbound_header(in, "x-absent"), NULL);
	while (mesh_inbound_field(in, n, &name, &value) == 1) {
		CHECK(name != NULL && value != NULL);
		n++;
	}
	CHECK(n >= 2 && mesh_inbound_field(in, n + 1, &name, &value) == 0);
	body = mesh_inbound_body(in, &len);
	CHECK(len == 5 && memcmp(body, "h\0llo", 6) == 0);
	CHECK(mesh_inbound_body(in, NULL) == body);
	CHECK_TEXT(mesh_inbound_peer(in), "spiffe://mesh.local/ns/default/svc/cart");
	CHECK_TEXT(mesh_inbound_peer_service(in), "cart");
	CHECK_TEXT(mesh_inbound_peer_namespace(in), "default");
	address = mesh_inbound_address(in);
	CHECK(address != NULL && strncmp(address, "127.0.0.1:", 10) == 0 && address[10] != '0');
	mesh_string_free(address);
	CHECK(mesh_inbound_address(NULL) == NULL);
	CHECK(mesh_inbound_try(in) == 1);
	CHECK(mesh_inbound_mirrored(in) == 0);
	CHECK(mesh_inbound_http_version(in) == 1);
	CHECK(mesh_inbound_remaining_ms(in) > 0 && mesh_inbound_remaining_ms(in) <= 7000);
}

static void check_reply_fields(mesh_inbound *in)
{
	static const char *const refused[][2] = {{"Content-Length", "1x"}, {"Connection", "close"}, {"Transfer-Encoding", "chunked"}, {"mesh-try", "1"}, {"Mesh-X", "1"}, {"a b", "1"}, {"", "1"}, {"x", "a\r\nb: c"}};

	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
		CHECK_CODE(mesh_reply_header(in, refused[i][0], refused[i][1]), MESH_E_INVALID);
	}
	CHECK_CODE(mesh_reply_trailer(in, "Authorization", "me"), MESH_E_INVALID);
	CHECK_CODE(mesh_reply_header(in, "X-Answer", "first"), MESH_OK);
	CHECK_CODE(mesh_reply_header(in, "X-Answer", "second"), MESH_OK);
}

static void no_event(void *user, mesh_inbound *in, int32_t kind)
{
	(void)user;
	(void)in;
	CHECK(kind == MESH_EVENT_GONE);
}

/* Of a request that came whole. */
static void reply_streamed(mesh_inbound *in)
{
	char buf[4];
	size_t n = 9;

	CHECK_CODE(mesh_inbound_on_stream(in, no_event, NULL), MESH_OK);
	CHECK_CODE(mesh_inbound_collect(in, 0), MESH_OK);
	CHECK_CODE(mesh_inbound_read(in, buf, sizeof(buf), &n, 1000), MESH_OK);
	CHECK(n == 0 && mesh_inbound_trailer(in, "x") == NULL && mesh_inbound_trailer_field(in, 0, NULL, NULL) == 0 && mesh_inbound_gone(in) == 0);
	CHECK_CODE(mesh_reply_write(in, "x", 1, NULL, 0), MESH_E_STATE);
	CHECK_CODE(mesh_reply_begin(in, 199), MESH_E_INVALID);
	CHECK_CODE(mesh_reply_begin(in, 200), MESH_OK);
	CHECK_CODE(mesh_reply_begin(in, 200), MESH_E_STATE);
	CHECK_CODE(mesh_reply_header(in, "a", "b"), MESH_E_STATE);
	CHECK_CODE(mesh_reply_write(in, "stre", 4, &n, 0), MESH_OK);
	CHECK(n == 4);
	CHECK_CODE(mesh_reply_write(in, "amed", 4, NULL, 1000), MESH_OK);
	CHECK_CODE(mesh_reply_end(in), MESH_OK);
}

static void handle(void *user, mesh_inbound *in)
{
	struct later *l = user;
	static char big[BIG];

	if (strcmp(mesh_inbound_path(in), "/checked") == 0) {
		check_inbound(in);
		check_reply_fields(in);
		CHECK_CODE(mesh_reply(in, 201, "made", 4), MESH_OK);
	} else if (strcmp(mesh_inbound_path(in), "/later") == 0) {
		l->inbound = in;
		CHECK(pthread_create(&l->thread, NULL, reply_later, l) == 0);
	} else if (strcmp(mesh_inbound_path(in), "/outer") == 0) {
		l->inbound = in;
		call_on(l);
	} else if (strcmp(mesh_inbound_path(in), "/bounded") == 0) {
		call_bounded(l, in);
	} else if (strcmp(mesh_inbound_path(in), "/never") == 0) {
		CHECK(mesh_inbound_remaining_ms(in) >= 0 && mesh_inbound_remaining_ms(in) <= 500);
		atomic_store(&l->never, in);
	} else if (strcmp(mesh_inbound_path(in), "/bad-status") == 0) {
		CHECK_CODE(mesh_reply(in, 199, NULL, 0), MESH_E_INVALID);
	} else if (strcmp(mesh_inbound_path(in), "/streamed") == 0) {
		reply_streamed(in);
	} else if (strcmp(mesh_inbound_path(in), "/aborted") == 0) {
		CHECK_CODE(mesh_reply_abort(in), MESH_OK);
	} else if (strcmp(mesh_inbound_path(in), "/refused") == 0) {
		CHECK_CODE(mesh_reply_refuse(in, "not \"me\""), MESH_OK);
	} else if (strcmp(mesh_inbound_path(in), "/big") == 0) {
		CHECK_CODE(mesh_reply(in, 200, big, sizeof(big)), MESH_OK);
	} else if (strcmp(mesh_inbound_method(in), "HEAD") == 0) {
		CHECK_CODE(mesh_reply(in, 200, NULL, 12345), MESH_OK); /* the length alone */
	} else if (strcmp(mesh_inbound_path(in), "/no-body") == 0) {
		CHECK_CODE(mesh_reply(in, 200, NULL, 5), MESH_E_INVALID);
	} else {
		CHECK_CODE(mesh_reply(in, 200, NULL, 0), MESH_OK);
	}
}

/* An application that cannot serve for a while says so, and why. */
static void tour_readiness(mesh *m)
{
	mesh_error *error = NULL;

	CHECK_CODE(mesh_set_ready(NULL, 1, NULL), MESH_E_INVALID);
	CHECK_CODE(mesh_set_ready(m, 2, NULL), MESH_E_INVALID);
	CHECK_CODE(mesh_reply_refuse(NULL, NULL), MESH_E_INVALID);
	CHECK_CODE(mesh_set_ready(m, 0, "the database\nis away"), MESH_OK);
	CHECK_CODE(mesh_wait_ready(m, 0, &error), MESH_E_TIMEOUT);
	CHECK_TEXT(mesh_error_message(error), "not ready: the database is away");
	mesh_error_free(error);
	CHECK_CODE(mesh_set_ready(m, 1, NULL), MESH_OK);
	CHECK_CODE(mesh_wait_ready(m, READY_MS, NULL), MESH_OK);
}

static mesh_server *tour_serve(mesh *m, struct later *l)
{
	mesh_server *server = NULL, *second = NULL;
	mesh_error *error = NULL;
	mesh_inbound *in;
	char *address;

	CHECK_CODE(mesh_serve(m, "sideways", handle, l, &server, &error), MESH_E_INVALID);
	CHECK(server == NULL && error != NULL && strstr(mesh_error_message(error), "sideways") != NULL);
	mesh_error_free(error);
	CHECK_CODE(mesh_serve(m, NULL, handle, l, &server, &error), MESH_OK);
	CHECK_CODE(mesh_serve(m, "pool", handle, l, &second, NULL), MESH_E_STATE);
	CHECK_CODE(mesh_wait_ready(m, READY_MS, &error), MESH_OK);
	CHECK_CODE(mesh_server_next(server, &in, 0), MESH_E_STATE);
	CHECK(mesh_server_event_fd(server) == -MESH_E_STATE);
	address = mesh_server_address(server);
	CHECK(address != NULL && strncmp(address, "127.0.0.1:", 10) == 0 && strcmp(address, "127.0.0.1:0") != 0);
	mesh_string_free(address);
	tour_readiness(m);
	return server;
}

/* ---- The caller's side ---- */

static void check_request_fields(mesh_request *r)
{
	static const char *const refused[][2] = {{"Host", "x"}, {"Connection", "x"}, {"Content-Length", "1"}, {"Transfer-Encoding", "x"}, {"Keep-Alive", "1"}, {"Upgrade", "x"}, {"TE", "x"}, {"Trailer", "x"},
		{"Expect", "100-continue"}, {"mesh-anything", "1"}, {"MESH-TRY", "1"}, {"", "x"}, {"a b", "x"}, {"a:", "x"}, {"\xc3\xa9", "x"}, {"x", "a\nb"}, {"x", "a\rb"}, {"x", "\x01"}};

	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
		CHECK_CODE(mesh_request_header(r, refused[i][0], refused[i][1]), MESH_E_INVALID);
	}
}

static void tour_checked_call(mesh *m)
{
	mesh_request *r = mesh_request_new(m, "payments", "POST", "/checked?a=1&b=%20");
	const char *name = NULL, *value = NULL;
	size_t len = 99, n = 0, answers = 0;

	CHECK(mesh_response_status(r) == 0 && mesh_request_error(r) == NULL && mesh_request_tries(r) == 0);
	CHECK_TEXT(mesh_response_body(r, &len), "");
	CHECK(len == 0);
	CHECK_TEXT(mesh_response_instance(r), NULL);
	check_request_fields(r);
	CHECK_CODE(mesh_request_header(r, "X-Mine", "yes"), MESH_OK);
	CHECK_CODE(mesh_request_body(r, "replaced", 8), MESH_OK);
	CHECK_CODE(mesh_request_body(r, "h\0llo", 5), MESH_OK);
	CHECK_CODE(mesh_request_timeout(r, 0), MESH_E_INVALID);
	CHECK_CODE(mesh_request_timeout(r, 86400001), MESH_E_INVALID);
	CHECK_CODE(mesh_request_timeout(r, 7000), MESH_OK);
	CHECK_CODE(mesh_request_idempotent(r, 2), MESH_E_INVALID);
	CHECK_CODE(mesh_request_idempotent(r, 0), MESH_OK);
	for (int again = 0; again < 2; again++) { /* a request may be called again */
		CHECK_CODE(mesh_call(r), MESH_OK);
		CHECK(mesh_response_status(r) == 201 && mesh_request_tries(r) == 1 && mesh_request_error(r) == NULL);
		CHECK(strcmp(mesh_response_body(r, &len), "made") == 0 && len == 4);
		CHECK_TEXT(mesh_response_header(r, "x-ANSWER"), "first");
		CHECK_TEXT(mesh_response_header(r, "absent"), NULL);
		CHECK_TEXT(mesh_response_trailer(r, "absent"), NULL);
		CHECK(mesh_response_trailer_field(r, 0, &name, &value) == 0);
		CHECK_TEXT(mesh_response_instance(r), "payments");
		CHECK_TEXT(mesh_response_version(r), "v1");
	}
	for (n = 0; mesh_response_field(r, n, &name, &value) == 1; n++) {
		CHECK(strncmp(name, "mesh-", 5) != 0);
		answers += strcmp(value, "first") == 0 || strcmp(value, "second") == 0;
	}
	CHECK(answers == 2);
	mesh_request_free(r);
}

struct expect {
	const char *method, *path;
	int status;
	const char *body;
};

static void tour_other_calls(mesh *m)
{
	static const struct expect rows[] = {{"GET", "/later", 202, "later"}, {"GET", "/outer", 200, ""}, {"GET", "/bad-status", 500, NULL}, {"GET", "/no-body", 500, NULL}, {"HEAD", "/head", 200, ""},
		{"GET", "/", 200, ""}, {"GET", "/streamed", 200, "streamed"}, {"GET", "/refused", 503, "{\"error\":\"refused\",\"message\":\"not \\\"me\\\"\"}\n"}};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		mesh_request *r = mesh_request_new(m, i % 2 == 0 ? "payments" : "payments.default", rows[i].method, rows[i].path);

		CHECK_CODE(mesh_call(r), MESH_OK);
		if (mesh_response_status(r) != rows[i].status) {
			fprintf(stderr, "%s is %d\n", rows[i].path, (int)mesh_response_status(r));
			atomic_fetch_add(&check_failed, 1);
		}
		if (rows[i].body != NULL) {
			CHECK_TEXT(mesh_response_body(r, NULL), rows[i].body);
		}
		if (strcmp(rows[i].method, "HEAD") == 0) {
			CHECK_TEXT(mesh_response_header(r, "Content-Length"), "12345");
		}
		mesh_request_free(r);
	}
}

static void tour_abort(mesh *m)
{
	mesh_request *r = mesh_request_new(m, "payments", "GET", "/aborted");

	CHECK_CODE(mesh_call(r), MESH_E_RESET);
	mesh_request_free(r);
}

static void tour_deadline(mesh *m, struct later *l)
{
	mesh_request *r = mesh_request_new(m, "payments", "GET", "/bounded");
	mesh_inbound *never;
	int32_t code;

	CHECK_CODE(mesh_request_timeout(r, 500), MESH_OK);
	code = mesh_call(r);
	CHECK(code == MESH_E_TIMEOUT || code == MESH_OK); /* the handler hears of the end in the same millisecond, and may still be heard */
	CHECK(code == MESH_OK || mesh_error_may_be_processed(mesh_request_error(r)) == 1);
	mesh_request_free(r);
	CHECK(sem_wait(&l->bounded) == 0);
	never = atomic_exchange(&l->never, NULL);
	if (never != NULL) {
		CHECK_CODE(mesh_reply(never, 200, "late", 4), MESH_OK);
	}
}

static void tour_bounds(mesh *m)
{
	mesh_request *r = mesh_request_new(m, "payments", "GET", "/big");
	static char body[400001];
	char name[16];
	size_t len;

	CHECK_CODE(mesh_request_body(r, body, sizeof(body)), MESH_E_TOO_LARGE);
	CHECK_CODE(mesh_call(r), MESH_OK);
	(void)mesh_response_body(r, &len);
	CHECK(len == BIG);
	for (int i = 0; i < 128; i++) {
		(void)snprintf(name, sizeof(name), "x-%d", i);
		CHECK_CODE(mesh_request_header(r, name, "1"), MESH_OK);
	}
	CHECK_CODE(mesh_request_header(r, "x-one-more", "1"), MESH_E_TOO_LARGE);
	mesh_request_free(r);
	r = mesh_request_new(m, "payments", "GET", "/");
	memset(body, 'v', 65536);
	body[65536] = '\0';
	CHECK_CODE(mesh_request_header(r, "x", body), MESH_E_TOO_LARGE);
	mesh_request_free(r);
}

static void tour_bad_calls(mesh *m)
{
	static const char *const rows[][3] = {{"no service!", "GET", "/"}, {"a.b.c", "GET", "/"}, {"", "GET", "/"}, {"Payments", "GET", "/"}, {"payments", "G ET", "/"}, {"payments", "", "/"}, {"payments", "GET", "x"},
		{"payments", "GET", ""}, {"payments", "GET", "/a b"}, {"payments", "GET", "/\r\nX: y"}, {"payments", "GET", "http://x/"}, {"payments", "CONNECT", "/"}, {"payments", "GET", "/#fragment"}};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		mesh_request *r = mesh_request_new(m, rows[i][0], rows[i][1], rows[i][2]);
		int32_t code = mesh_call(r);

		if (code != MESH_E_INVALID) {
			fprintf(stderr, "%s %s %s is %s\n", rows[i][0], rows[i][1], rows[i][2], mesh_code_name(code));
			atomic_fetch_add(&check_failed, 1);
		} else {
			CHECK(mesh_error_message(mesh_request_error(r))[0] != '\0' && mesh_error_may_be_processed(mesh_request_error(r)) == 0);
			CHECK(mesh_request_tries(r) == 0 && mesh_response_status(r) == 0);
		}
		mesh_request_free(r);
	}
}

static void tour_cancel(mesh *m)
{
	mesh_request *r = mesh_request_new(m, "payments", "GET", "/");

	mesh_cancel(r); /* ends the next one to begin */
	mesh_cancel(r);
	CHECK_CODE(mesh_call(r), MESH_E_CANCELLED);
	CHECK_CODE(mesh_error_code(mesh_request_error(r)), MESH_E_CANCELLED);
	CHECK(mesh_error_may_be_processed(mesh_request_error(r)) == 0);
	CHECK_CODE(mesh_call(r), MESH_OK); /* and not the one after */
	mesh_request_free(r);
	r = mesh_request_new(m, "nobody", "GET", "/");
	CHECK_CODE(mesh_call(r), MESH_E_NO_SERVICE);
	CHECK_TEXT(mesh_error_origin(mesh_request_error(r)), "control");
	mesh_request_free(r);
}

static void on_done(void *user, mesh_request *r, int32_t code)
{
	CHECK_CODE(code, MESH_OK);
	CHECK(mesh_response_status(r) == 200);
	CHECK_CODE(mesh_call(r), MESH_E_WOULD_BLOCK);
	mesh_request_free(r);
	CHECK(sem_post(user) == 0);
}

/* The end is told by a function, by an event, or to one who waits. */
static void tour_started(mesh *m)
{
	mesh_request *r = mesh_request_new(m, "payments", "GET", "/"), *bad = mesh_request_new(m, "payments", "GET", "no slash"), *nobody = mesh_request_new(m, "nobody", "GET", "/");
	struct pollfd ready = {.fd = mesh_event_fd(m), .events = POLLIN};
	mesh_event event = {.kind = 0};
	sem_t told;

	CHECK(sem_init(&told, 0, 0) == 0);
	CHECK_CODE(mesh_call_wait(r), MESH_E_STATE);
	CHECK_CODE(mesh_call_start(r, NULL, &told), MESH_OK);
	CHECK(poll(&ready, 1, READY_MS) == 1);
	CHECK(mesh_poll(m, &event, 1, READY_MS) == 1 && mesh_poll(m, &event, 1, 0) == 0);
	CHECK(event.request == r && event.user == &told && event.kind == MESH_EVENT_DONE && event.code == MESH_OK);
	CHECK_CODE(mesh_call_start(bad, NULL, NULL), MESH_OK);
	CHECK_CODE(mesh_call_wait(bad), MESH_E_INVALID);
	CHECK_CODE(mesh_call_start(nobody, NULL, NULL), MESH_OK);
	CHECK_CODE(mesh_call_wait(nobody), MESH_E_NO_SERVICE);
	mesh_request_free(bad);
	mesh_request_free(nobody);
	CHECK_CODE(mesh_call_start(r, on_done, &told), MESH_OK);
	CHECK(sem_wait(&told) == 0);
	CHECK(sem_destroy(&told) == 0);
}

static void on_stream(void *user, mesh_request *r, int32_t kind)
{
	CHECK(user != NULL && r != NULL && (kind == MESH_EVENT_READABLE || kind == MESH_EVENT_WRITABLE));
}

/* The body goes up in two pieces, and what comes down is read to its end. */
static void tour_streamed(mesh *m)
{
	mesh_request *r = mesh_request_new(m, "payments", "POST", "/");
	size_t n = 99;
	char byte;

	CHECK_CODE(mesh_request_on_stream(r, on_stream, m), MESH_OK);
	CHECK_CODE(mesh_request_trailer(r, "x-sum", "10"), MESH_E_STATE);
	CHECK_CODE(mesh_request_upload(r, -1), MESH_OK);
	CHECK_CODE(mesh_request_download(r), MESH_OK);
	CHECK_CODE(mesh_call(r), MESH_E_STATE);
	CHECK_CODE(mesh_call_start(r, NULL, NULL), MESH_OK);
	CHECK_CODE(mesh_request_write(r, "12", 2, &n, READY_MS), MESH_OK);
	CHECK(n == 2);
	CHECK_CODE(mesh_request_write(r, "34", 2, &n, READY_MS), MESH_OK);
	CHECK_CODE(mesh_request_trailer(r, "Authorization", "10"), MESH_E_INVALID);
	CHECK_CODE(mesh_request_trailer(r, "x-sum", "10"), MESH_OK);
	CHECK_CODE(mesh_request_end(r), MESH_OK);
	CHECK_CODE(mesh_call_wait(r), MESH_OK);
	CHECK(mesh_response_status(r) == 200);
	while (mesh_response_read(r, &byte, 1, &n, READY_MS) == MESH_OK && n > 0) {
	}
	CHECK(n == 0);
	mesh_request_free(r);
}

static void tour_mesh(mesh *m)
{
	char *identity = mesh_identity(m), *instance = mesh_instance(m), *metrics = mesh_metrics(m);

	CHECK_TEXT(identity, "spiffe://mesh.local/ns/default/svc/cart");
	CHECK_TEXT(instance, "cart");
	CHECK(metrics != NULL && strstr(metrics, "# TYPE mesh_calls_total counter\n") != NULL && metrics[strlen(metrics) - 1] == '\n');
	mesh_string_free(identity);
	mesh_string_free(instance);
	mesh_string_free(metrics);
}

int main(int argc, char **argv)
{
	struct injected at_server = {0}, at_client = {0};
	mesh *server_mesh, *m;
	struct later later = {0};
	mesh_request *outlives;
	mesh_error *error = NULL;

	if (argc != 4) {
		fprintf(stderr, "api_tour CONTROL TOKEN-OF-PAYMENTS TOKEN-OF-CART\n");
		return 2;
	}
	tour_library();
	tour_options();
	server_mesh = open_with(&at_server, argv[1], argv[2], "payments");
	later.m = server_mesh;
	CHECK(sem_init(&later.bounded, 0, 0) == 0);
	(void)tour_serve(server_mesh, &later);
	m = open_with(&at_client, argv[1], argv[3], "cart");
	CHECK_CODE(mesh_wait_ready(m, READY_MS, &error), MESH_OK);
	CHECK(error == NULL);
	tour_mesh(m);
	tour_checked_call(m);
	tour_other_calls(m);
	tour_abort(m);
	CHECK(pthread_join(later.thread, NULL) == 0);
	tour_deadline(m, &later);
	tour_bounds(m);
	tour_bad_calls(m);
	tour_cancel(m);
	tour_started(m);
	tour_streamed(m);
	outlives = mesh_request_new(m, "payments", "GET", "/");
	CHECK_CODE(mesh_close(m, DRAIN_MS), MESH_OK);
	mesh_request_free(outlives);
	CHECK_CODE(mesh_close(server_mesh, DRAIN_MS), MESH_OK);
	CHECK(atomic_load(&at_client.live) == 0 && atomic_load(&at_server.live) == 0); /* everything that was taken was given back */
	CHECK(atomic_load(&at_client.allocations) > 0 && atomic_load(&at_client.clock_reads) > 0 && atomic_load(&at_client.throws) > 0 && atomic_load(&at_client.lines) > 0);
	CHECK(atomic_load(&at_client.bad_lines) == 0 && atomic_load(&at_server.bad_lines) == 0);
	return atomic_load(&check_failed) == 0 ? 0 : 1;
}
