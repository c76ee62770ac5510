/* A gRPC call by the public API over HTTP/2, against a peer that is told frame by frame: what goes out, what comes back, what is made of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "h2_peer.h"
#include "patience.h"
#include "test_peer.h"
#include "two_meshes.h"
#include "wire/grpc.h"

enum { LONG_MS = 20000 };

/* How the peer answers: a head, then, unless it is alone, a message and trailers. */
struct answer {
	const char *head, *trailers; /* lines; trailers NULL: the head is all; "": the message is the last */
	bool goes;                   /* GOAWAY comes in one piece with them */
};

static const struct answer trailers_ok = {"content-type: application/grpc\n", "grpc-status: 0\n", .goes = false};
static const struct answer trailers_internal = {"content-type: application/grpc\n", "grpc-status: 13\ngrpc-message: it broke\n", .goes = false};
static const struct answer without_status = {"content-type: application/grpc\n", "", .goes = false};
static const struct answer trailers_and_goaway = {"content-type: application/grpc\n", "grpc-status: 0\n", .goes = true};
static const struct answer alone_not_found = {"content-type: application/grpc\ngrpc-status: 5\ngrpc-message: no such cart\n", NULL, .goes = false};
static const struct answer alone_refused = {"content-type: application/grpc\ngrpc-status: 14\nmesh-not-processed: 1\n", NULL, .goes = false};

static struct {
	struct two_meshes meshes;
	struct test_peer payments;
	struct mesh__tls_conf *tls;
	struct raw_server *server;
	pthread_mutex_t mu; /* guards seen */
	struct h2_message seen;
	mesh *cart;
} stage = {.mu = PTHREAD_MUTEX_INITIALIZER};

static void answers(struct raw_conn *conn)
{
	const struct answer *answer = conn->arg;
	struct h2_peer peer;
	struct h2_message message;
	struct mesh__buf body;
	uint32_t stream;

	mesh__buf_init(&body, mesh__mem_libc(), 1000);
	h2_peer_init(&peer, conn);
	if (h2_peer_greet(&peer, NULL, 0)) {
		while (h2_peer_message(&peer, &message)) {
			stream = message.stream;
			(void)pthread_mutex_lock(&stage.mu);
			stage.seen = message;
			(void)pthread_mutex_unlock(&stage.mu);
			if (!message.ended && !h2_peer_body(&peer, stream, &body)) {
				break;
			}
			h2_response(&peer.out, stream, answer->trailers == NULL, 200, answer->head);
			if (answer->trailers != NULL) {
				h2_data(&peer.out, stream, answer->trailers[0] == '\0' ? H2_END_STREAM : 0, "\0\0\0\0\2ok", 7);
			}
			if (answer->trailers != NULL && answer->trailers[0] != '\0') {
				h2_trailers(&peer.out, stream, answer->trailers);
			}
			if (answer->goes) {
				h2_goaway(&peer.out, stream, H2_NO_ERROR);
			}
			if (!h2_peer_flush(&peer)) {
				break;
			}
		}
	}
	h2_peer_fini(&peer);
	mesh__buf_fini(&body);
}

static int set_up(void **state)
{
	(void)state;
	two_meshes_init(&stage.meshes, NULL, NULL, NULL);
	test_peer_init(&stage.payments, &stage.meshes.ca, "payments");
	stage.tls = test_tls_conf_http2(&stage.payments, &stage.meshes.ca);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	mesh__tls_conf_unref(stage.tls);
	test_peer_fini(&stage.payments);
	two_meshes_fini(&stage.meshes);
	return 0;
}

static void open_stage(const struct answer *answer)
{
	struct mesh__addr address;

	stage.server = raw_server_new(stage.tls, answers, (void *)(uintptr_t)answer);
	raw_server_address(stage.server, &address);
	stage.cart = two_meshes_open(two_meshes_options_with(&stage.meshes, "cart", &address, 1, "protocol: grpc\n"));
}

static void close_stage(void)
{
	assert_int_equal(mesh_close(stage.cart, 1000), MESH_OK);
	raw_server_free(stage.server);
}

static mesh_request *ask(const char *type)
{
	static const char frame[] = "\0\0\0\0\3pay";
	mesh_request *r = mesh_request_new(stage.cart, "payments", "POST", "/shop.Carts/Pay");

	assert_int_equal(mesh_request_header(r, "Content-Type", type), MESH_OK);
	assert_int_equal(mesh_request_body(r, frame, sizeof(frame) - 1), MESH_OK);
	assert_int_equal(mesh_request_timeout(r, patience(LONG_MS)), MESH_OK);
	return r;
}

static mesh_request *call(const char *type)
{
	mesh_request *r = ask(type);

	if (mesh_call(r) != MESH_OK) {
		fail_msg("%s", mesh_error_message(mesh_request_error(r)));
	}
	assert_int_equal(mesh_response_status(r), 200);
	return r;
}

/* The value of a field of the last request; false when it had none. */
static bool sent(const char *name, char value[64])
{
	bool has;

	(void)pthread_mutex_lock(&stage.mu);
	has = h2_message_field(&stage.seen, name, value, 64);
	(void)pthread_mutex_unlock(&stage.mu);
	return has;
}

static long counted(const char *status)
{
	char line[96], *text = mesh_metrics(stage.cart), *at;
	long n;

	(void)snprintf(line, sizeof(line), "\nmesh_grpc_status_total{status=\"%s\"} ", status);
	at = strstr(text, line);
	n = at == NULL ? 0 : strtol(at + strlen(line), NULL, 10);
	mesh_string_free(text);
	return n;
}

static void the_deadline_goes_along_and_trailers_are_asked_for(void **state)
{
	mesh_request *r;
	char value[64];
	int64_t us;

	(void)state;
	open_stage(&trailers_ok);
	r = call("application/grpc+proto");
	assert_true(sent("te", value));
	assert_string_equal(value, "trailers");
	assert_true(sent("grpc-timeout", value));
	assert_true(mesh__grpc_timeout_parse(value, &us));
	assert_true(us > 0 && us <= patience(LONG_MS) * 1000);
	mesh_request_free(r);
	r = call("application/json");
	assert_false(sent("te", value));
	assert_false(sent("grpc-timeout", value));
	mesh_request_free(r);
	close_stage();
}

static void the_caller_gets_what_came_and_the_status_is_counted(void **state)
{
	mesh_request *r;
	size_t len;

	(void)state;
	open_stage(&trailers_internal);
	r = call("application/grpc");
	assert_string_equal(mesh_response_trailer(r, "grpc-status"), "13");
	assert_string_equal(mesh_response_trailer(r, "grpc-message"), "it broke");
	assert_null(mesh_response_header(r, "grpc-status"));
	(void)mesh_response_body(r, &len);
	assert_int_equal(len, 7);
	mesh_request_free(r);
	mesh_request_free(call("application/json"));
	assert_int_equal(counted("INTERNAL"), 1);
	close_stage();
	open_stage(&alone_not_found);
	r = call("application/grpc");
	assert_string_equal(mesh_response_header(r, "grpc-status"), "5");
	assert_null(mesh_response_trailer(r, "grpc-status"));
	mesh_request_free(r);
	assert_int_equal(counted("NOT_FOUND"), 1);
	close_stage();
	/* There is nowhere else to ask: it was asked three times. */
	open_stage(&alone_refused);
	r = call("application/grpc");
	assert_string_equal(mesh_response_header(r, "grpc-status"), "14");
	assert_int_equal(mesh_request_tries(r), 3);
	mesh_request_free(r);
	assert_int_equal(counted("UNAVAILABLE"), 3);
	close_stage();
}

/* GOAWAY in one piece with trailers takes them away from libcurl before 8. */
static void an_answer_without_its_status_is_never_a_success(void **state)
{
	static const struct answer *const rows[] = {&without_status, &trailers_and_goaway};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		mesh_request *r;
		int32_t code;

		open_stage(rows[i]);
		r = ask("application/grpc");
		code = mesh_call(r);
		if (code == MESH_OK) {
			assert_true(rows[i]->goes);
			assert_string_equal(mesh_response_trailer(r, "grpc-status"), "0");
		} else {
			assert_int_equal(code, MESH_E_RESET);
			assert_non_null(strstr(mesh_error_message(mesh_request_error(r)), "without its trailers"));
		}
		mesh_request_free(r);
		close_stage();
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_deadline_goes_along_and_trailers_are_asked_for),
		cmocka_unit_test(the_caller_gets_what_came_and_the_status_is_counted),
		cmocka_unit_test(an_answer_without_its_status_is_never_a_success),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
