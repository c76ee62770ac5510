#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "meshca/names.h"

#define S63 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

static void grants_by_this_table(void **state)
{
	static const struct {
		const char *service, *ns, *asked; /* asked: the request's URI SAN, NULL for none */
		enum meshca_error expect;
		const char *spiffe;
	} table[] = {
		{"payments", "default", NULL, MESHCA_ERROR_NONE, "spiffe://mesh.local/ns/default/svc/payments"},
		{"payments", NULL, NULL, MESHCA_ERROR_NONE, "spiffe://mesh.local/ns/default/svc/payments"},
		{"payments", "", NULL, MESHCA_ERROR_NONE, "spiffe://mesh.local/ns/default/svc/payments"},
		{"payments", "shop", "spiffe://mesh.local/ns/shop/svc/payments", MESHCA_ERROR_NONE, "spiffe://mesh.local/ns/shop/svc/payments"},
		{S63, S63, NULL, MESHCA_ERROR_NONE, "spiffe://mesh.local/ns/" S63 "/svc/" S63},
		{"meshd", "mesh-system", NULL, MESHCA_ERROR_NONE, "spiffe://mesh.local/ns/mesh-system/svc/meshd"},
		{"meshd", "default", NULL, MESHCA_ERROR_NONE, "spiffe://mesh.local/ns/default/svc/meshd"},
		{"payments", "mesh-system", NULL, MESHCA_ERROR_NAME, NULL},
		{"meshd2", "mesh-system", NULL, MESHCA_ERROR_NAME, NULL},
		{"Payments", "default", NULL, MESHCA_ERROR_NAME, NULL},
		{"", "default", NULL, MESHCA_ERROR_NAME, NULL},
		{"pay/ments", "default", NULL, MESHCA_ERROR_NAME, NULL},
		{"..", "default", NULL, MESHCA_ERROR_NAME, NULL},
		{S63 "a", "default", NULL, MESHCA_ERROR_NAME, NULL},
		{"payments", "Shop", NULL, MESHCA_ERROR_NAME, NULL},
		{"payments", "a.b", NULL, MESHCA_ERROR_NAME, NULL},
		{"payments", "default", "spiffe://mesh.local/ns/default/svc/cart", MESHCA_ERROR_NAME, NULL},
		{"payments", "default", "spiffe://mesh.local/ns/default/svc/payment", MESHCA_ERROR_NAME, NULL},
		{"payments", "default", "spiffe://mesh.local/ns/default/svc/paymentss", MESHCA_ERROR_NAME, NULL},
		{"payments", "default", "spiffe://mesh.local/ns/shop/svc/payments", MESHCA_ERROR_NAME, NULL},
		{"payments", "default", "spiffe://other.example/ns/default/svc/payments", MESHCA_ERROR_NAME, NULL},
	};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(table); i++) {
		struct mesh__csr csr = {.has_uri = table[i].asked != NULL};
		struct mesh__err err = MESH__NO_ERR;
		struct mesh__name name;
		char spiffe[MESH__SPIFFE_MAX];

		if (table[i].asked != NULL) {
			(void)snprintf(csr.spiffe, sizeof(csr.spiffe), "%s", table[i].asked);
		}
		assert_int_equal(meshca_name_grant("mesh.local", table[i].service, table[i].ns, &csr, &name, &err), table[i].expect);
		if (table[i].spiffe != NULL) {
			mesh__spiffe_format(&name, spiffe);
			assert_string_equal(spiffe, table[i].spiffe);
		} else {
			assert_true(err.message[0] != '\0');
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(grants_by_this_table),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
