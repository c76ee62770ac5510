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
#include "fake_meshd.h"
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

/* ---- At the start, with a meshd under the test's hand ---- */

static void must_answer(mesh *cart, int32_t status)
{
	mesh_request *r = mesh_request_new(cart, "payments", "GET", "/");

	assert_int_equal(mesh_request_timeout(r, patience(LONG_MS)), MESH_OK);
	if (mesh_call(r) != MESH_OK || mesh_response_status(r) != status) {
		fail_msg("%d %s", (int)mesh_response_status(r), mesh_error_message(mesh_request_error(r)));
	}
	mesh_request_free(r);
}

static void nobody_is_let_in_or_called_before_the_policy_is_known(void **state)
{
	static char service[] = "payments.default", text[] = "{apiVersion: mesh/v1, kind: Service, name: payments, authorization: {default: deny}}";
	static char *documents[] = {text};
	struct mesh__record policy = {.type = MESH__RECORD_CONFIG, .version = 1, .service = service, .documents = documents, .n_documents = 1};
	char url[96], address[MESH__ADDR_TEXT], body[FAKE_MESHD_TEXT];
	struct fake_meshd meshd;
	struct two_meshes t;
	mesh_options *o;
	mesh *payments, *cart;
	mesh_server *server;
	struct mesh__addr at;
	char *listens;

	(void)state;
	atomic_store(&n_handled, 0);
	two_meshes_init(&t, NULL, NULL, NULL);
	fake_meshd_init(&meshd, &t.ca);
	mesh__addr_format(&meshd.address, address);
	(void)snprintf(url, sizeof(url), "https://%s", address);
	o = two_meshes_payments(&t);
	assert_int_equal(mesh_options_set(o, "control", url), MESH_OK);
	assert_int_equal(mesh_open(o, &payments, NULL), MESH_OK);
	mesh_options_free(o);
	assert_int_equal(mesh_serve(payments, NULL, handle, NULL, &server, NULL), MESH_OK);
	fake_meshd_await_post(&meshd, "subscribe", 1, body);
	assert_non_null(strstr(body, "\"service\":\"payments.default\""));
	assert_non_null(strstr(body, "\"config_only\":true"));
	listens = mesh_server_address(server);
	assert_int_equal(mesh__addr_parse("address", listens, false, &at, NULL), MESH_OK);
	mesh_string_free(listens);
	cart = two_meshes_open(two_meshes_options_with(&t, "cart", &at, 1, "retries: {attempts: 0}\n"));
	must_answer(cart, 503);
	assert_int_equal(fake_meshd_count(&meshd, "register"), 0);
	fake_meshd_send(&meshd, &policy);
	fake_meshd_await_post(&meshd, "register", 1, body);
	must_answer(cart, 403);
	assert_int_equal(atomic_load(&n_handled), 0);
	assert_int_equal(mesh_close(cart, patience(LONG_MS)), MESH_OK);
	(void)mesh_close(payments, 0);
	fake_meshd_fini(&meshd);
	two_meshes_fini(&t);
}

/* ---- The audit log, where the application keeps it ---- */

static atomic_int n_denied;

static void count_denied(void *user, int32_t level, const char *line)
{
	(void)user;
	(void)level;
	(void)atomic_fetch_add(&n_denied, strstr(line, "\"event\":\"authorization denied\"") != NULL && strstr(line, "/svc/cart\"") != NULL && line[strlen(line) - 1] == '}');
}

static void who_is_refused_is_in_the_log_however_long_the_path(void **state)
{
	enum { QUOTES = 8150 };
	static char path[QUOTES + 2];
	struct two_meshes t;
	mesh_options *o;
	mesh *cart;
	char file[32];

	(void)state;
	memset(path, '"', QUOTES + 1); /* each is two bytes of a line */
	path[0] = '/';
	write_rules(file);
	two_meshes_init(&t, NULL, NULL, NULL);
	o = two_meshes_payments(&t);
	assert_int_equal(mesh_options_set(o, "endpoints", file), MESH_OK);
	mesh_options_log(o, count_denied, NULL);
	t.payments = two_meshes_open(o);
	assert_int_equal(mesh_serve(t.payments, NULL, handle, NULL, &t.server, NULL), MESH_OK);
	cart = two_meshes_open(two_meshes_options(&t, "cart"));
	s.mode = "pool";
	ask(cart, "POST", path, "text/plain", 403, DENIED(BY_DEFAULT));
	assert_int_equal(atomic_load(&n_denied), 1);
	assert_int_equal(mesh_close(cart, patience(LONG_MS)), MESH_OK);
	two_meshes_fini(&t);
	(void)unlink(file);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(holds_by_every_way_to_serve),
		cmocka_unit_test(who_is_refused_is_in_the_log_however_long_the_path),
		cmocka_unit_test(nobody_is_let_in_or_called_before_the_policy_is_known),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
