/* The `protocol` of a service's document is what its calls speak: the server says which it was. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "base/attr.h"
#include "patience.h"
#include "two_meshes.h"

static void tell_version(void *user, mesh_inbound *in)
{
	char text[16];

	(void)user;
	(void)snprintf(text, sizeof(text), "HTTP/%d", mesh_inbound_http_version(in));
	(void)mesh_reply_trailer(in, "x-behind", text);
	(void)mesh_reply(in, 200, text, strlen(text));
}

static void calls_speak_the_protocol_of_the_service(void **state)
{
	static const struct {
		const char *fields, *spoken;
	} rows[] = {{"", "HTTP/1"}, {"protocol: http\n", "HTTP/1"}, {"protocol: http2\n", "HTTP/2"}, {"protocol: grpc\n", "HTTP/2"}};
	struct two_meshes t;

	(void)state;
	two_meshes_init(&t, "inline", tell_version, NULL);
	for (size_t i = 0; i < MESH__COUNT(rows); i++) {
		long before = two_meshes_connections(&t);
		mesh *cart = two_meshes_open_cart(&t, rows[i].fields);
		mesh_request *r = mesh_request_new(cart, "payments", "POST", "/");

		assert_int_equal(mesh_request_body(r, "pay", 3), MESH_OK);
		for (int k = 0; k < 3; k++) {
			if (mesh_call(r) != MESH_OK) {
				fail_msg("%s: %s", rows[i].fields, mesh_error_message(mesh_request_error(r)));
			}
			assert_string_equal(mesh_response_body(r, NULL), rows[i].spoken);
			assert_non_null(mesh_response_trailer(r, "X-Behind"));
			assert_string_equal(mesh_response_trailer(r, "X-Behind"), rows[i].spoken);
		}
		assert_int_equal(two_meshes_connections(&t), before + 1);
		mesh_request_free(r);
		assert_int_equal(mesh_close(cart, patience(2000)), MESH_OK);
	}
	two_meshes_fini(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(calls_speak_the_protocol_of_the_service),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
