/* Who may call, by every way to serve and both protocols: the handler is not entered for who may not. Without a control plane: the rules stand in the serving side's own file of documents. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/attr.h"
#include "patience.h"
#include "serving.h"

enum { LONG_MS = 20000 };

static const char rules[] = "apiVersion: mesh/v1\nkind: Service\nname: payments\nauthorization:\n  default: deny\n  rules:\n"
	"  - {name: carts-pay, action: allow, from: [{service: cart}], methods: [POST], paths: [/make-payment]}\n  - {name: no-admin, action: deny, paths: [{prefix: /admin}]}\n";

static struct serving s;
static atomic_int n_handled;

static void handle(void *user, mesh_inbound *in)
{
	(void)user;
	(void)atomic_fetch_add(&n_handled, 1);
	(void)mesh_reply(in, strcmp(mesh_inbound_path(in), "/make-payment") == 0 ? 200 : 299, NULL, 0);
}

static void ask(mesh *caller, const char *method, const char *path, const char *type, int32_t status, const char *said)
{
	mesh_request *r = mesh_request_new(caller, "payments", method, path);

	assert_int_equal(mesh_request_timeout(r, patience(LONG_MS)), MESH_OK);
	assert_int_equal(mesh_request_header(r, "content-type", type), MESH_OK);
	if (mesh_call(r) != MESH_OK || mesh_response_status(r) != status) {
		fail_msg("%s: %s %s: %d %s", s.mode, method, path, (int)mesh_response_status(r), mesh_error_message(mesh_request_error(r)));
	}
	if (strcmp(type, "application/grpc") == 0 && said != NULL) {
		assert_string_equal(mesh_response_header(r, "grpc-status"), "7");
		assert_string_equal(mesh_response_header(r, "grpc-message"), said);
	} else if (said != NULL) {
		assert_string_equal(mesh_response_body(r, NULL), said);
	}
	mesh_request_free(r);
}

#define DENIED(by) "{\"error\":\"denied\",\"message\":\"denied by " by "\"}\n"
#define BY_DEFAULT "default: no rule lets this caller do this"

static void ask_all(mesh *cart, mesh *web)
{
	atomic_store(&n_handled, 0);
	ask(cart, "POST", "/make-payment", "text/plain", 200, NULL);
	ask(cart, "POST", "/x/..//make-paymen%74?q", "text/plain", 200, NULL);
	assert_int_equal(atomic_load(&n_handled), 2);
	ask(cart, "GET", "/make-payment", "text/plain", 403, DENIED(BY_DEFAULT));
	ask(cart, "POST", "/make-payment/", "text/plain", 403, DENIED(BY_DEFAULT));
	ask(cart, "POST", "/x/%2e%2e/admin/users", "text/plain", 403, DENIED("rule no-admin"));
	ask(cart, "POST", "/admin%2fusers", "text/plain", 400, NULL);
	ask(web, "POST", "/make-payment", "text/plain", 403, DENIED(BY_DEFAULT));
	ask(web, "POST", "/make-payment", "application/grpc", 200, "denied: denied by " BY_DEFAULT);
	ask(web, "POST", "/admin", "application/grpc", 200, "denied: denied by rule no-admin");
	assert_int_equal(atomic_load(&n_handled), 2);
}

static mesh *open_caller(const char *service, const char *protocol)
{
	struct mesh__addr address;
	char fields[64];

	two_meshes_address(&s.t, &address);
	(void)snprintf(fields, sizeof(fields), "protocol: %s\n", protocol);
	return two_meshes_open(two_meshes_options_with(&s.t, service, &address, 1, fields));
}

static void write_rules(char path[32])
{
	FILE *f;
	int fd;

	(void)snprintf(path, 32, "/tmp/mesh-rules-XXXXXX");
	fd = mkstemp(path);
	assert_true(fd >= 0);
	f = fdopen(fd, "w");
	assert_non_null(f);
	assert_true(fputs(rules, f) >= 0);
	assert_int_equal(fclose(f), 0);
}

static void holds_by_every_way_to_serve(void **state)
{
	static const char *const modes[] = {"inline", "pool", "pull"}, *const bodies[] = {"whole", "streamed"}, *const protocols[] = {"http", "http2"};
	char path[32];
	const char *const more[] = {"endpoints", path, NULL};

	(void)state;
	write_rules(path);
	for (size_t i = 0; i < MESH__COUNT(modes) * MESH__COUNT(bodies); i++) {
		serving_open(&s, modes[i / 2], bodies[i % 2], handle, NULL, more);
		for (size_t p = 0; p < MESH__COUNT(protocols); p++) {
			mesh *cart = open_caller("cart", protocols[p]), *web = open_caller("web", protocols[p]);

			ask_all(cart, web);
			assert_int_equal(mesh_close(cart, patience(LONG_MS)), MESH_OK);
			assert_int_equal(mesh_close(web, patience(LONG_MS)), MESH_OK);
		}
		assert_int_equal(serving_close(&s, patience(LONG_MS)), MESH_OK);
		serving_fini(&s);
	}
	(void)unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(holds_by_every_way_to_serve),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
