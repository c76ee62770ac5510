/* Who may call whom: a table of requests over a table of rules. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/attr.h"
#include "policy/authorize.h"

#define TEXT(how_, text_) {.how = MESH__MATCH_##how_, .text = (text_), .len = sizeof(text_) - 1}
#define LIST(array) array, MESH__COUNT(array)

static const struct mesh__source cart[] = {{.service = "cart", .ns = "default"}}, shop[] = {{.ns = "shop"}}, either[] = {{.service = "cart", .ns = "default"}, {.service = "web", .ns = "shop"}};
static const char *const post[] = {"POST"}, *const reading[] = {"GET", "HEAD"};
static const struct mesh__matcher pay[] = {TEXT(EXACT, "/make-payment")}, admin[] = {TEXT(PREFIX, "/admin")}, files[] = {TEXT(PREFIX, "/files/"), TEXT(EXACT, "/index")};
static const struct mesh__named_match canary[] = {{"x-canary", TEXT(EXACT, "1")}}, tagged[] = {{"x-tag", TEXT(PREFIX, "a-")}, {"x-end", TEXT(SUFFIX, "-z")}}, present[] = {{"x-canary", {.how = MESH__MATCH_PRESENT}}},
	absent[] = {{"x-canary", {.how = MESH__MATCH_ABSENT}}};

static const struct mesh__authz_rule
	carts_pay = {.name = "carts-pay", .allow = true, .from = cart, .n_from = 1, .methods = {LIST(post)}, .paths = LIST(pay)},
	no_admin = {.name = "no-admin", .paths = LIST(admin)},
	shop_reads = {.name = "shop-reads", .allow = true, .from = shop, .n_from = 1, .methods = {LIST(reading)}},
	either_files = {.name = "either-files", .allow = true, .from = either, .n_from = 2, .paths = LIST(files)},
	let_canary = {.name = "let-canary", .allow = true, .headers = LIST(canary)},
	no_canary = {.name = "no-canary", .headers = LIST(canary)},
	let_tagged = {.name = "let-tagged", .allow = true, .headers = LIST(tagged)},
	let_present = {.name = "let-present", .allow = true, .headers = LIST(present)},
	let_absent = {.name = "let-absent", .allow = true, .headers = LIST(absent)},
	everybody = {.name = "everybody", .allow = true},
	nobody = {.name = "nobody"};

struct row {
	const char *asked; /* "service.namespace METHOD /path", then "name=value" of each field */
	const char *rule;  /* "": the default */
	bool allow;
};

struct request {
	char text[256];
	const char *names[8], *values[8];
	size_t n;
};

static const char *next_value(const void *ctx, const char *name, size_t *at)
{
	const struct request *r = ctx;

	while (*at < r->n) {
		size_t i = (*at)++;
		if (strcmp(r->names[i], name) == 0) {
			return r->values[i];
		}
	}
	return NULL;
}

static struct mesh__request_view view_of(const char *asked, struct request *r)
{
	struct mesh__request_view view = {.header = next_value, .ctx = r};
	char *save, *word;

	*r = (struct request){.n = 0};
	(void)snprintf(r->text, sizeof(r->text), "%s", asked);
	view.service = strtok_r(r->text, ".", &save);
	view.ns = strtok_r(NULL, " ", &save);
	view.method = strtok_r(NULL, " ", &save);
	view.path = strtok_r(NULL, " ", &save);
	while ((word = strtok_r(NULL, " ", &save)) != NULL) {
		char *value = strchr(word, '=');
		*value = '\0';
		r->names[r->n] = word;
		r->values[r->n++] = value + 1;
	}
	return view;
}

static void judge(const struct mesh__authorization *a, const struct row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct request request;
		struct mesh__request_view view = view_of(rows[i].asked, &request);
		struct mesh__authz_verdict verdict = mesh__authorize(a, &view);

		if (verdict.allow != rows[i].allow || verdict.audit_only || strcmp(verdict.rule == NULL ? "" : verdict.rule, rows[i].rule) != 0) {
			fail_msg("%s: %s by %s", rows[i].asked, verdict.allow ? "allowed" : "denied", verdict.rule == NULL ? "default" : verdict.rule);
		}
	}
}

static void without_a_rule_the_default_decides(void **state)
{
	static const struct row allowed = {"cart.default GET /", "", true}, denied = {"cart.default GET /", "", false};

	(void)state;
	judge(&(struct mesh__authorization){.default_deny = false}, &allowed, 1);
	judge(&(struct mesh__authorization){.default_deny = true}, &denied, 1);
}

static void a_rule_holds_where_all_that_it_says_does(void **state)
{
	static const struct row rows[] = {
		{"cart.default POST /make-payment", "carts-pay", true},
		{"cart.shop POST /make-payment", "", false}, {"carts.default POST /make-payment", "", false}, {"car.default POST /make-payment", "", false}, {"web.default POST /make-payment", "", false},
		{"cart.default GET /make-payment", "", false}, {"cart.default post /make-payment", "", false}, {"cart.default POST /make-payment/", "", false}, {"cart.default POST /make-payments", "", false},
		{"cart.default POST /", "", false}, {"cart.default POST /Make-payment", "", false}, {"cart.default POST /x/make-payment", "", false},
		{"web.shop GET /anything", "shop-reads", true}, {"web.shop HEAD /", "shop-reads", true}, {"web.shop POST /index", "either-files", true}, {"web.shop PUT /files/a/b", "either-files", true},
		{"cart.default PUT /files/", "either-files", true}, {"cart.default PUT /files", "", false}, {"other.shop PUT /files/a", "", false},
	};
	const struct mesh__authz_rule rules[] = {carts_pay, shop_reads, either_files};

	(void)state;
	judge(&(struct mesh__authorization){.default_deny = true, .rules = rules, .n_rules = MESH__COUNT(rules)}, rows, MESH__COUNT(rows));
}

static void the_first_rule_that_holds_decides(void **state)
{
	static const struct row rows[] = {
		{"cart.default GET /admin", "no-admin", false}, {"cart.default GET /admin/", "no-admin", false}, {"cart.default GET /admin/x/y", "no-admin", false}, {"cart.default POST /admin%3Bx", "everybody", true},
		{"cart.default GET /administrator", "everybody", true}, {"cart.default GET /", "everybody", true},
	};
	const struct mesh__authz_rule rules[] = {no_admin, everybody, nobody};

	(void)state;
	judge(&(struct mesh__authorization){.default_deny = true, .rules = rules, .n_rules = MESH__COUNT(rules)}, rows, MESH__COUNT(rows));
}

static void of_a_header_that_comes_twice_each_counts_where_it_lets_in_and_one_where_it_does_not(void **state)
{
	static const struct row in[] = {
		{"a.b GET / x-canary=1", "let-canary", true}, {"a.b GET / x-canary=1 x-canary=1", "let-canary", true}, {"a.b GET / x-canary=1 x-canary=2", "", false}, {"a.b GET / x-canary=2 x-canary=1", "", false},
		{"a.b GET / x-canary=", "", false}, {"a.b GET /", "", false}, {"a.b GET / x-canary=11", "", false},
	};
	static const struct row out[] = {
		{"a.b GET / x-canary=1", "no-canary", false}, {"a.b GET / x-canary=2 x-canary=1", "no-canary", false}, {"a.b GET / x-canary=1 x-canary=2", "no-canary", false}, {"a.b GET / x-canary=2", "", true}, {"a.b GET /", "", true},
	};
	static const struct row how[] = {
		{"a.b GET / x-tag=a-b x-end=y-z", "let-tagged", true}, {"a.b GET / x-tag=a-b", "let-absent", true}, {"a.b GET / x-tag=b x-end=y-z x-canary=9", "let-present", true}, {"a.b GET / x-tag=a x-end=-z", "let-absent", true},
		{"a.b GET / x-canary= x-canary=", "let-present", true},
	};
	const struct mesh__authz_rule texts[] = {let_tagged, let_present, let_absent};

	(void)state;
	judge(&(struct mesh__authorization){.default_deny = true, .rules = &let_canary, .n_rules = 1}, in, MESH__COUNT(in));
	judge(&(struct mesh__authorization){.rules = &no_canary, .n_rules = 1}, out, MESH__COUNT(out));
	judge(&(struct mesh__authorization){.default_deny = true, .rules = texts, .n_rules = MESH__COUNT(texts)}, how, MESH__COUNT(how));
}

static void in_audit_what_would_be_denied_goes_on_and_says_so(void **state)
{
	const struct mesh__authz_rule rules[] = {carts_pay, no_admin};
	const struct mesh__authorization audit = {.default_deny = true, .audit = true, .rules = rules, .n_rules = MESH__COUNT(rules)};
	static const struct {
		const char *asked, *rule;
		bool audit_only;
	} rows[] = {{"cart.default POST /make-payment", "carts-pay", false}, {"cart.default GET /admin", "no-admin", true}, {"cart.default GET /", "", true}};

	(void)state;
	for (size_t i = 0; i < MESH__COUNT(rows); i++) {
		struct request request;
		struct mesh__request_view view = view_of(rows[i].asked, &request);
		struct mesh__authz_verdict verdict = mesh__authorize(&audit, &view);

		assert_true(verdict.allow);
		assert_int_equal(verdict.audit_only, rows[i].audit_only);
		assert_string_equal(verdict.rule == NULL ? "" : verdict.rule, rows[i].rule);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_a_rule_the_default_decides),
		cmocka_unit_test(a_rule_holds_where_all_that_it_says_does),
		cmocka_unit_test(the_first_rule_that_holds_decides),
		cmocka_unit_test(of_a_header_that_comes_twice_each_counts_where_it_lets_in_and_one_where_it_does_not),
		cmocka_unit_test(in_audit_what_would_be_denied_goes_on_and_says_so),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
