#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/attr.h"
#include "wire/addr.h"

static void takes_ip_literals_and_brings_them_to_canonical_form(void **state)
{
	static const struct {
		const char *text, *canonical;
		bool v6;
		uint16_t port;
	} good[] = {
		{"127.0.0.1:80", "127.0.0.1:80", false, 80},
		{"255.255.255.255:65535", "255.255.255.255:65535", false, 65535},
		{"0.0.0.0:1", "0.0.0.0:1", false, 1},
		{"[::1]:80", "[::1]:80", true, 80},
		{"[0:0:0:0:0:0:0:1]:80", "[::1]:80", true, 80},
		{"[2001:DB8::0001]:8443", "[2001:db8::1]:8443", true, 8443},
		{"[2001:db8:0:0:1:0:0:1]:1", "[2001:db8::1:0:0:1]:1", true, 1},
		{"[::ffff:1.2.3.4]:9", "[::ffff:1.2.3.4]:9", true, 9},
		{"[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535", "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535", true, 65535},
	};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(good); i++) {
		struct mesh__err err = MESH__NO_ERR;
		struct mesh__addr addr;
		char text[MESH__ADDR_TEXT];
		assert_int_equal(mesh__addr_parse("address", good[i].text, false, &addr, &err), MESH_OK);
		assert_int_equal(addr.v6, good[i].v6);
		assert_int_equal(addr.port, good[i].port);
		mesh__addr_format(&addr, text);
		assert_string_equal(text, good[i].canonical);
	}
}

static void refuses_what_is_no_ip_literal_with_a_port(void **state)
{
	static const char *const bad[] = {
		"", "80", ":80", "localhost:80", "example.com:80", "127.0.0.1", "127.0.0.1:", "127.0.0.1:0", "127.0.0.1:080", "127.0.0.1:65536", "127.0.0.1:+80",
		"127.0.0.1:-1", "127.0.0.1: 80", "127.0.0.1:80 ", " 127.0.0.1:80", "127.0.0.1:8x", "127.0.0.1:99999999999999999999", "127.1:80", "2130706433:80",
		"0x7f.0.0.1:80", "127.0.0.01:80", "0177.0.0.1:80", "127.0.0.256:80", "1.2.3.4.5:80", "127.0.0.1:80:80", "::1:80", "[::1]", "[::1]80", "[::1]:",
		"[::1", "[]:80", "[127.0.0.1]:80", "[fe80::1%eth0]:80", "[fe80::1%25eth0]:80", "[::ffff:01.2.3.4]:80", "[::ffff:1.2.3]:80", "[::1::2]:80",
		"[1:2:3:4:5:6:7:8:9]:80", "[00000::1]:80", "[::1 ]:80", "[[::1]]:80", "127.0.0.1/8:80", "[aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa]:80",
	};
	struct mesh__addr addr = {.ip = "untouched"};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(bad); i++) {
		struct mesh__err err = MESH__NO_ERR;
		if (mesh__addr_parse("listen", bad[i], false, &addr, &err) != MESH_E_INVALID) {
			fail_msg("taken: %s", bad[i]);
		}
		assert_ptr_equal(strstr(err.message, "listen"), err.message);
	}
	assert_int_equal(mesh__addr_parse("listen", NULL, false, &addr, NULL), MESH_E_INVALID);
	assert_string_equal(addr.ip, "untouched");
}

static void takes_port_zero_only_where_allowed(void **state)
{
	struct mesh__addr addr;

	(void)state;
	assert_int_equal(mesh__addr_parse("listen", "127.0.0.1:0", true, &addr, NULL), MESH_OK);
	assert_int_equal(addr.port, 0);
	assert_int_equal(mesh__addr_parse("listen", "127.0.0.1:00", true, &addr, NULL), MESH_E_INVALID);
}

static void knows_loopback(void **state)
{
	static const struct {
		const char *text;
		bool loopback;
	} rows[] = {
		{"127.0.0.1:1", true}, {"127.255.0.9:1", true}, {"[::1]:1", true}, {"126.0.0.1:1", false}, {"12.7.0.1:1", false}, {"0.0.0.0:1", false},
		{"[::]:1", false}, {"[::2]:1", false}, {"[::ffff:127.0.0.1]:1", false},
	};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(rows); i++) {
		struct mesh__addr addr;
		assert_int_equal(mesh__addr_parse("address", rows[i].text, false, &addr, NULL), MESH_OK);
		assert_int_equal(mesh__addr_is_loopback(&addr), rows[i].loopback);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(takes_ip_literals_and_brings_them_to_canonical_form),
		cmocka_unit_test(refuses_what_is_no_ip_literal_with_a_port),
		cmocka_unit_test(takes_port_zero_only_where_allowed),
		cmocka_unit_test(knows_loopback),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
