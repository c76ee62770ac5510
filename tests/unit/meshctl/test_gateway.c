#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/env.h"
#include "meshctl/gateway.h"
#include "meshctl/upstream_target.h"

static struct mesh__env env;

/* A message's fields: name, value, …, NULL. */
static bool listed(const void *source, size_t index, const char **name, const char **value)
{
	const char *const *list = source;

	for (size_t i = 0; i <= index; i++) {
		if (list[2 * i] == NULL) {
			return false;
		}
	}
	*name = list[2 * index];
	*value = list[2 * index + 1];
	return true;
}

static void a_field_of_one_connection_ends_here(void **state)
{
	static const char *const stay[] = {"Connection", "keep-alive", "TE", "Transfer-Encoding", "Upgrade", "Host", "Content-Length", "Trailer", "Expect", "Proxy-Connection", "proxy-authorization",
		"Proxy-Authenticate", "Proxy", "proxy_authorization", "mesh-try", "MESH_try", "Mesh-Anything", "X-Forwarded-Client-Cert", "x_forwarded_client-cert", "keep_alive", "mesh_and_a_name_that_is_longer_than_any", "X-Secret", "x-other"};
	static const char *const pass[] = {"Accept", "X-Forwarded-For", "proxyish", "a_name_that_is_longer_than_any_of_them", "meshy", "Proxied-By", "mesh", "meshed", "te-x", "X-Secre", "X-Secrets", "secret", "Via", "grpc-timeout", "x y"};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(stay); i++) {
		assert_true(ctl_field_stays(stay[i], "close, X-Secret ,x-OTHER,"));
	}
	for (size_t i = 0; i < MESH__COUNT(pass); i++) {
		assert_false(ctl_field_stays(pass[i], "close, X-Secret ,x-OTHER,"));
		assert_false(ctl_field_stays(pass[i], NULL));
	}
	assert_false(ctl_field_stays("x-secret", NULL));
	assert_false(ctl_field_stays("cookie", ",,, ,"));
	assert_false(ctl_field_stays("x-hop", "x-hop-too"));
	assert_false(ctl_field_stays("accept", "keep-alive"));
}

/* `expected`: "name: value" lines, in order. */
static void expect_behind_of(const char *const *request, bool http2, bool mirrored, const char *expected)
{
	struct ctl_caller cart = {"spiffe://mesh.local/ns/default/svc/files", "spiffe://mesh.local/ns/default/svc/cart", "10.0.0.9", mirrored};
	struct ctl_fields fields;
	char text[2048] = "";
	size_t n = 0;

	ctl_fields_init(&fields, &env.mem);
	assert_int_equal(ctl_fields_behind(&fields, listed, request, &cart, http2, NULL), MESH_OK);
	for (size_t i = 0; i < fields.n; i++) {
		n += (size_t)snprintf(text + n, sizeof(text) - n, "%s: %s\n", fields.list[i].name, fields.list[i].value);
	}
	assert_string_equal(text, expected);
	ctl_fields_fini(&fields);
}

static void expect_behind(const char *const *request, bool http2, const char *expected)
{
	expect_behind_of(request, http2, false, expected);
}

#define CART "x-forwarded-client-cert: By=spiffe://mesh.local/ns/default/svc/files;URI=spiffe://mesh.local/ns/default/svc/cart\n"

static void the_server_behind_is_told_of_its_caller(void **state)
{
	static const char *const plain[] = {"host", "files.default.mesh.local", "accept", "*", NULL};
	static const char *const named[] = {"connection", "x-a", "x-a", "1", "x-b", "2", "Connection", "close,x-c", "x-c", "3", "te", "trailers", "host", "h", NULL};
	static const char *const forwarded[] = {"x-forwarded-for", "1.1.1.1", "X-Forwarded-Proto", "http", "x-forwarded-for", "", "X-Forwarded-For", "2.2.2.2, 3.3.3.3", "x-forwarded-host", "shop", "host", "h",
		"X-Forwarded-Client-Cert", "URI=spiffe://mesh.local/ns/default/svc/admin", NULL};
	static const char *const other_te[] = {"te", "gzip;q=0.5", NULL};

	(void)state;
	expect_behind(plain, false, "accept: *\nx-forwarded-proto: https\nx-forwarded-host: files.default.mesh.local\nx-forwarded-for: 10.0.0.9\n" CART);
	expect_behind(named, false, "x-b: 2\nx-forwarded-proto: https\nx-forwarded-host: h\nx-forwarded-for: 10.0.0.9\n" CART);
	expect_behind(named, true, "x-b: 2\nte: trailers\nx-forwarded-proto: https\nx-forwarded-host: h\nx-forwarded-for: 10.0.0.9\n" CART);
	expect_behind(other_te, true, "x-forwarded-proto: https\nx-forwarded-for: 10.0.0.9\n" CART);
	expect_behind(forwarded, true, "X-Forwarded-Proto: http\nx-forwarded-host: shop\nx-forwarded-for: 1.1.1.1, 2.2.2.2, 3.3.3.3, 10.0.0.9\n" CART);
}

static void the_server_behind_is_told_of_a_mirrors_copy_by_nobody_but_the_mesh(void **state)
{
	static const char *const plain[] = {"accept", "*", NULL}, *const claimed[] = {"mesh-mirror", "1", NULL};

	(void)state;
	expect_behind_of(plain, false, true, "accept: *\nmesh-mirror: 1\nx-forwarded-proto: https\nx-forwarded-for: 10.0.0.9\n" CART);
	expect_behind_of(claimed, false, false, "x-forwarded-proto: https\nx-forwarded-for: 10.0.0.9\n" CART);
}

static void an_upstream_is_an_address_or_a_socket(void **state)
{
	static const struct {
		const char *url, *host, *ip, *path;
		int port;
	} good[] = {
		{"http://127.0.0.1:8000", "127.0.0.1:8000", "127.0.0.1", "", 8000},
		{"http://127.0.0.1:80/", "127.0.0.1:80", "127.0.0.1", "", 80},
		{"http://[::1]:8000", "[::1]:8000", "::1", "", 8000},
		{"unix:/run/app.sock", "localhost", "", "/run/app.sock", 0},
		{"unix:///run/app.sock", "localhost", "", "/run/app.sock", 0},
	};
	static const char *const bad[] = {"", "http://127.0.0.1", "https://127.0.0.1:1", "unix:", "unix:/", "unix://", "unix:///", "unix:app.sock", "unix://host/app.sock", "/run/app.sock"};
	struct mesh__target target;
	char longest[200] = "unix:/";

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(good); i++) {
		assert_int_equal(ctl_upstream_target(good[i].url, &target, NULL), MESH_OK);
		assert_true(target.insecure_plaintext);
		assert_string_equal(target.host, good[i].host);
		assert_string_equal(target.address.ip, good[i].ip);
		assert_string_equal(target.unix_path, good[i].path);
		assert_int_equal(target.address.port, good[i].port);
	}
	for (size_t i = 0; i < MESH__COUNT(bad); i++) {
		struct mesh__err err = MESH__NO_ERR;
		assert_int_equal(ctl_upstream_target(bad[i], &target, &err), MESH_E_INVALID);
	}
	memset(longest + 6, 'x', 106);
	assert_int_equal(ctl_upstream_target(longest, &target, NULL), MESH_OK);
	longest[6 + 106] = 'x';
	assert_int_equal(ctl_upstream_target(longest, &target, NULL), MESH_E_INVALID);
}

static int set_up(void **state)
{
	(void)state;
	mesh__env_init(&env);
	return 0;
}

static void a_gateway_says_what_kind_of_failure_it_was(void **state)
{
	static const struct {
		int32_t code, status;
	} rows[] = {
		{MESH_E_TIMEOUT, 504}, {MESH_E_OVERLOADED, 503}, {MESH_E_NO_ENDPOINT, 503}, {MESH_E_NOT_READY, 503}, {MESH_E_CLOSED, 503},
		{MESH_E_CONNECT, 502}, {MESH_E_RESET, 502}, {MESH_E_TLS, 502}, {MESH_E_NO_SERVICE, 502}, {MESH_E_TOO_LARGE, 502},
	};
	struct mesh__buf out;

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(rows); i++) {
		assert_int_equal(ctl_gateway_status(rows[i].code), rows[i].status);
	}
	mesh__buf_init(&out, mesh__mem_libc(), 4096);
	ctl_gateway_body(504, "no \"answer\"", &out);
	assert_string_equal(out.data, "{\"error\":\"gateway-timeout\",\"message\":\"no \\\"answer\\\"\"}\n");
	mesh__buf_fini(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_field_of_one_connection_ends_here),
		cmocka_unit_test(the_server_behind_is_told_of_its_caller),
		cmocka_unit_test(the_server_behind_is_told_of_a_mirrors_copy_by_nobody_but_the_mesh),
		cmocka_unit_test(a_gateway_says_what_kind_of_failure_it_was),
		cmocka_unit_test(an_upstream_is_an_address_or_a_socket),
	};

	return cmocka_run_group_tests(tests, set_up, NULL);
}
