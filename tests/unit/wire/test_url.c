#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/attr.h"
#include "wire/url.h"

#define BYTES(s) s, sizeof(s) - 1
#define L63 "a23456789012345678901234567890123456789012345678901234567890123"

struct text {
	const char *text;
	size_t len;
};

static void takes_an_origin_with_its_port(void **state)
{
	static const struct {
		const char *text, *host;
		bool tls, v6;
		uint16_t port;
	} good[] = {
		{"https://meshd:8443", "meshd", true, false, 8443},
		{"https://meshd.example.com:443/", "meshd.example.com", true, false, 443},
		{"https://127.0.0.1:1", "127.0.0.1", true, false, 1},
		{"https://[::1]:8443", "::1", true, true, 8443},
		{"https://[2001:DB8::0001]:8443/", "2001:db8::1", true, true, 8443},
		{"http://localhost:65535", "localhost", false, false, 65535},
		{"https://Control-1.Example:80", "control-1.example", true, false, 80},
		{"https://my_meshd:80", "my_meshd", true, false, 80},
	};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(good); i++) {
		struct mesh__err err = MESH__NO_ERR;
		struct mesh__origin_url url;
		assert_int_equal(mesh__origin_url_parse("control", good[i].text, true, &url, &err), MESH_OK);
		assert_string_equal(url.host, good[i].host);
		assert_int_equal(url.tls, good[i].tls);
		assert_int_equal(url.v6, good[i].v6);
		assert_int_equal(url.port, good[i].port);
	}
}

static void refuses_an_origin_that_is_more_or_less(void **state)
{
	static const char *const bad[] = {
		"", "meshd:8443", "https://", "https:///", "https://meshd", "https://meshd/", "https://meshd:", "https://meshd:/", "https://meshd:0", "https://meshd:08443",
		"https://meshd:65536", "https://meshd:8443//", "https://meshd:8443/v1", "https://meshd:8443?x", "https://meshd:8443#x", "https://meshd:8443 ",
		" https://meshd:8443", "HTTPS://meshd:8443", "ftp://meshd:8443", "http://meshd:8443", "https:meshd:8443", "https://user@meshd:8443",
		"https://user:secret@meshd:8443", "https://mes hd:8443", "https://-meshd:8443", "https://meshd-:8443", "https://meshd.:8443", "https://.meshd:8443",
		"https://me..shd:8443", "https://m%65shd:8443", "https://127.1:8443", "https://2130706433:8443", "https://0x7f000001:8443", "https://127.0.0.01:8443",
		"https://256.0.0.1:8443", "https://[::1]", "https://[::1:8443", "https://[::1]8443", "https://::1:8443", "https://[127.0.0.1]:8443", "https://[fe80::1%25lo]:8443",
		"https://[]:8443", "https://:8443", "https://m\xc3\xa4:8443", "https://" L63 "4:8443", "https://" L63 "." L63 "." L63 "." L63 ".com:8443",
	};
	struct mesh__origin_url url = {.host = "untouched"};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(bad); i++) {
		struct mesh__err err = MESH__NO_ERR;
		if (mesh__origin_url_parse("control", bad[i], false, &url, &err) != MESH_E_INVALID) {
			fail_msg("taken: %s", bad[i]);
		}
		assert_ptr_equal(strstr(err.message, "control"), err.message);
	}
	assert_int_equal(mesh__origin_url_parse("control", NULL, false, &url, NULL), MESH_E_INVALID);
	assert_string_equal(url.host, "untouched");
}

static void takes_targets_in_origin_form_alone(void **state)
{
	static const struct text good[] = {{BYTES("/")}, {BYTES("/a/b?c=d&e")}, {BYTES("//a")}, {BYTES("/%2e")}, {BYTES("/~!$&'()*+,;=:@[]")}};
	static const struct text bad[] = {
		{BYTES("")}, {BYTES("a")}, {BYTES("*")}, {BYTES("http://h/")}, {BYTES("/a b")}, {BYTES("/a#b")}, {BYTES("/a\0b")}, {BYTES("/a\r\nHost: x")}, {BYTES("/\x7f")},
		{BYTES("/\xc3\xa4")}, {BYTES("?a")},
	};
	static char large[8193];

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(good); i++) {
		assert_true(mesh__target_valid(good[i].text, good[i].len));
	}
	for (size_t i = 0; i < MESH__COUNT(bad); i++) {
		assert_false(mesh__target_valid(bad[i].text, bad[i].len));
	}
	memset(large, '/', sizeof(large));
	assert_true(mesh__target_valid(large, 8192));
	assert_false(mesh__target_valid(large, 8193));
}

static void finds_and_decodes_a_query_value(void **state)
{
	static const struct {
		const char *query, *key, *value; /* NULL: there is none */
		bool bad;
	} rows[] = {
		{"a=b&c=d", "a", "b", false}, {"a=b&c=d", "c", "d", false}, {"a=b", "b", NULL, false}, {"", "a", NULL, false}, {NULL, "a", NULL, false}, {"a", "a", NULL, false}, {"a=", "a", "", false}, {"aa=1&a=2", "a", "2", false},
		{"a=1&a=2", "a", "1", false}, {"a=x+y%20z", "a", "x y z", false}, {"a=%C3%a4", "a", "\xc3\xa4", false}, {"a=%", "a", NULL, true}, {"a=%4", "a", NULL, true}, {"a=%4&b=1", "a", NULL, true},
		{"a=%zz", "a", NULL, true}, {"a=%00", "a", NULL, true}, {"a=1234567", "a", "1234567", false}, {"a=12345678", "a", NULL, true}, {"&&a=1", "a", "1", false}, {"a=b=c", "a", "b=c", false},
	};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(rows); i++) {
		char out[8];
		enum mesh__query found = mesh__query_get(rows[i].query, rows[i].key, out, sizeof(out));
		assert_int_equal(found, rows[i].bad ? MESH__QUERY_BAD : rows[i].value != NULL ? MESH__QUERY_GIVEN : MESH__QUERY_ABSENT);
		assert_string_equal(out, rows[i].value != NULL ? rows[i].value : "");
	}
}

static void percent_encodes_all_but_unreserved(void **state)
{
	char out[16];

	(void)state;
	assert_true(mesh__percent_encode("aZ0-._~", out, sizeof(out)));
	assert_string_equal(out, "aZ0-._~");
	assert_true(mesh__percent_encode("/ \xc3\xa4%", out, sizeof(out)));
	assert_string_equal(out, "%2F%20%C3%A4%25");
	assert_true(mesh__percent_encode("/ \xc3\xa4%", out, 16));
	assert_false(mesh__percent_encode("/ \xc3\xa4%", out, 15));
	assert_true(mesh__percent_encode("", out, 1));
	assert_false(mesh__percent_encode("", out, 0));
	assert_false(mesh__percent_encode("ab", out, 2));
}

static void keeps_fields_to_what_http_allows(void **state)
{
	static const struct text bad_names[] = {{BYTES("")}, {BYTES("a b")}, {BYTES("a:")}, {BYTES("a\0")}, {BYTES("\xc3\xa4")}, {BYTES("a\r")}, {BYTES("(a)")}};
	static const struct text good_values[] = {{BYTES("")}, {BYTES("a")}, {BYTES("a b\tc")}, {BYTES("\xc3\xa4\xff")}, {BYTES("\"q\", (x)")}};
	static const struct text bad_values[] = {
		{BYTES(" a")}, {BYTES("a ")}, {BYTES("\ta")}, {BYTES("a\t")}, {BYTES("a\rb")}, {BYTES("a\nb")}, {BYTES("a\0b")}, {BYTES("a\x7f")}, {BYTES("\x0b")}, {BYTES(" ")},
	};

	(void)state;
	assert_true(mesh__field_name_valid(BYTES("X-User")));
	assert_true(mesh__field_name_valid(BYTES("!#$%&'*+-.^_`|~09azAZ")));
	for (size_t i = 0; i < MESH__COUNT(bad_names); i++) {
		assert_false(mesh__field_name_valid(bad_names[i].text, bad_names[i].len));
	}
	for (size_t i = 0; i < MESH__COUNT(good_values); i++) {
		assert_true(mesh__field_value_valid(good_values[i].text, good_values[i].len));
	}
	for (size_t i = 0; i < MESH__COUNT(bad_values); i++) {
		assert_false(mesh__field_value_valid(bad_values[i].text, bad_values[i].len));
	}
}

static void a_list_has_what_stands_between_its_commas(void **state)
{
	static const struct {
		const char *list;
		bool has;
	} rows[] = {
		{"close", true}, {"CLOSE", true}, {" close\t", true}, {"a,close", true}, {"close ,b", true}, {",, close ,", true}, {"", false}, {",", false}, {"clos", false}, {"closed", false},
		{"a close", false}, {"close b", false}, {"\xf1 close", false}, {"close;q=1", false}, {"a, b", false},
	};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(rows); i++) {
		assert_int_equal(mesh__field_list_has(rows[i].list, strlen(rows[i].list), "close"), rows[i].has);
	}
	assert_false(mesh__field_list_has("close", 4, "close"));
}

static void a_method_is_a_token_and_not_connect(void **state)
{
	(void)state;
	assert_true(mesh__method_valid("GET"));
	assert_true(mesh__method_valid("M-SEARCH"));
	assert_true(mesh__method_valid("ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"));
	assert_false(mesh__method_valid("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456"));
	assert_false(mesh__method_valid(""));
	assert_false(mesh__method_valid("G ET"));
	assert_false(mesh__method_valid("GET\r\n"));
	assert_false(mesh__method_valid("CONNECT"));
	assert_false(mesh__method_valid("connect"));
}

static void knows_the_fields_of_one_connection_and_of_the_mesh(void **state)
{
	static const char *const hop[] = {
		"host", "HOST", "connection", "Content-Length", "transfer-encoding", "Keep-Alive", "upgrade", "te", "Trailer", "expect", "proxy-connection",
	};

	static const char *const kept[] = {"Authorization", "proxy-authorization", "COOKIE", "mesh-load", "X-Forwarded-Client-Cert"};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(hop); i++) {
		assert_true(mesh__field_is_hop(hop[i], strlen(hop[i])));
		assert_false(mesh__field_may_trail(hop[i], strlen(hop[i])));
	}
	for (size_t i = 0; i < MESH__COUNT(kept); i++) {
		assert_false(mesh__field_may_trail(kept[i], strlen(kept[i])));
	}
	assert_true(mesh__field_may_trail(BYTES("grpc-status")));
	assert_true(mesh__field_may_trail(BYTES("X-Authorization")));
	assert_false(mesh__field_is_hop(BYTES("Hos")));
	assert_false(mesh__field_is_hop(BYTES("Hosts")));
	assert_false(mesh__field_is_hop(BYTES("")));
	assert_true(mesh__field_is_mesh(BYTES("mesh-try")));
	assert_true(mesh__field_is_mesh(BYTES("MESH-")));
	assert_false(mesh__field_is_mesh(BYTES("mesh")));
	assert_false(mesh__field_is_mesh(BYTES("x-mesh-")));
	assert_true(mesh__field_is_claim(BYTES("X-Forwarded-Client-Cert")));
	assert_true(mesh__field_is_claim(BYTES("x_forwarded-CLIENT_cert")));
	assert_false(mesh__field_is_claim(BYTES("x-forwarded-client-certs")));
	assert_false(mesh__field_is_claim(BYTES("x-forwarded-client-cer")));
	assert_false(mesh__field_is_claim(BYTES("x-forwarded-client.cert")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(takes_an_origin_with_its_port),
		cmocka_unit_test(refuses_an_origin_that_is_more_or_less),
		cmocka_unit_test(takes_targets_in_origin_form_alone),
		cmocka_unit_test(finds_and_decodes_a_query_value),
		cmocka_unit_test(percent_encodes_all_but_unreserved),
		cmocka_unit_test(keeps_fields_to_what_http_allows),
		cmocka_unit_test(a_list_has_what_stands_between_its_commas),
		cmocka_unit_test(a_method_is_a_token_and_not_connect),
		cmocka_unit_test(knows_the_fields_of_one_connection_and_of_the_mesh),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
