/* The kinds of documents, and what stands at the top of each. */
#include "policy/fields.h"

#include <string.h>

#include "policy/forms.h"

enum { MINUTE_MS = 60000, DAY_MS = 86400000 };

/* ---- The head ---- */

static void read_api_version(struct mesh__reading *r, const struct mesh__place *at, void *slot)
{
	const char *text;

	(void)slot;
	if (mesh__read_text(r, at, &text) && strcmp(text, "mesh/v1") != 0) {
		mesh__reading_fault(r, at, "\"%.60s\" is not known; write mesh/v1", text);
	}
}

/* The kind has chosen the table that this stands in. */
static void read_nothing(struct mesh__reading *r, const struct mesh__place *at, void *slot)
{
	(void)r;
	(void)at;
	(void)slot;
}

static void read_label(struct mesh__reading *r, const struct mesh__place *at, void *slot)
{
	char normal[MESH__FORM_TEXT];
	const char *text;

	if (mesh__read_text(r, at, &text) && mesh__form_label.check(r, at, text, normal)) {
		memcpy(slot, text, strlen(text) + 1);
	}
}

#define LABEL_SCHEMA "\"type\":\"string\",\"pattern\":\"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$\",\"maxLength\":63"

static const struct mesh__custom_field api_version = {read_api_version, NULL, "\"const\":\"mesh/v1\""};
static const struct mesh__custom_field kind = {read_nothing, NULL, NULL};
static const struct mesh__custom_field label = {read_label, NULL, LABEL_SCHEMA};

#define HEAD                                                                                                                                                      \
	{.name = "apiVersion", .type = MESH__FIELD_CUSTOM, .required = true, .custom = &api_version, MESH__ALL_OF(struct mesh__document), .says = "mesh/v1"},             \
		{.name = "kind", .type = MESH__FIELD_CUSTOM, .required = true, .custom = &kind, MESH__ALL_OF(struct mesh__document), .says = "what the document is of"},   \
		{.name = "name", .type = MESH__FIELD_CUSTOM, .required = true, .custom = &label, MESH__AT(struct mesh__document, name), .says = "whom it is of"}

#define NAMESPACE {.name = "namespace", .type = MESH__FIELD_CUSTOM, .custom = &label, MESH__AT(struct mesh__document, ns), .says = "left out: the one that the tool says, else default"}

static const struct mesh__field_rule head_rules[] = {HEAD, NAMESPACE};

/* ---- What a Service says, and a Namespace and a Mesh for all of theirs ---- */

static const struct mesh__field_rule circuit_breaker_rules[] = {
#define X(limit, member, text, least) {.name = text, .type = MESH__FIELD_COUNT, .min = least, .max = MESH__BREAKER_MOST, MESH__AT(struct mesh__breaker, member), .says = #limit " of one process towards the service"},
	MESH__BREAKER_LIMITS(X)
#undef X
};

static const struct mesh__fields circuit_breaker_fields = {MESH__RULES(circuit_breaker_rules)};

static const struct mesh__field_rule shared_rules[] = {
	{.name = "timeout", .type = MESH__FIELD_DURATION, .min = 1, .max = DAY_MS, MESH__AT(struct mesh__document, service.timeout_ms), .says = "of the whole call, every try and wait included"},
	{.name = "connectTimeout", .type = MESH__FIELD_DURATION, .min = 1, .max = MINUTE_MS, MESH__AT(struct mesh__document, service.connect_timeout_ms), .says = "to connect and shake hands"},
	{.name = "loadBalancer", .type = MESH__FIELD_MAP, .fields = &mesh__fields_of_load_balancer, MESH__AT(struct mesh__document, service.load_balancer), .says = "how an endpoint is chosen"},
	{.name = "retries", .type = MESH__FIELD_MAP, .fields = &mesh__fields_of_retries, MESH__AT(struct mesh__document, service.retries), .says = "what is tried again, and how often"},
	{.name = "hedging", .type = MESH__FIELD_MAP, .fields = &mesh__fields_of_hedging, MESH__AT(struct mesh__document, service.hedging), .says = "when a second try goes out beside the first"},
	{.name = "circuitBreaker", .type = MESH__FIELD_MAP, .fields = &circuit_breaker_fields, MESH__AT(struct mesh__document, service.breaker), .says = "how much is under way at once"},
	{.name = "outlierDetection", .type = MESH__FIELD_MAP, .fields = &mesh__fields_of_outlier, MESH__AT(struct mesh__document, service.outlier), .says = "which endpoints are left alone for a while"},
	{.name = "healthCheck", .type = MESH__FIELD_MAP, .fields = &mesh__fields_of_health, MESH__AT(struct mesh__document, service.health), .says = "how endpoints are asked whether they are well"},
	{.name = "rateLimit", .type = MESH__FIELD_MAP, .fields = &mesh__fields_of_rate, MESH__AT(struct mesh__document, service.rate), .says = "how often each of its instances may be called"},
	{.name = "concurrencyLimit", .type = MESH__FIELD_MAP, .fields = &mesh__fields_of_concurrency, MESH__AT(struct mesh__document, service.concurrency), .says = "how much is under way at once, found out by what goes wrong"},
};

/* ---- kind: Service ---- */

static const struct mesh__word protocols[] = {
	{"http", MESH__PROTOCOL_HTTP},
	{"http2", MESH__PROTOCOL_HTTP2},
	{"grpc", MESH__PROTOCOL_GRPC},
	{"tcp", MESH__WORD_NOT_YET},
	{NULL, 0},
};

static const struct mesh__field_rule subset_item = {.type = MESH__FIELD_MAP, .fields = &mesh__fields_of_subset, MESH__ALL_OF(struct mesh__subset)};
static const struct mesh__field_rule route_item = {.type = MESH__FIELD_MAP, .fields = &mesh__fields_of_route, MESH__ALL_OF(struct mesh__route)};
static const struct mesh__field_rule failover_item = {.type = MESH__FIELD_MAP, .fields = &mesh__fields_of_failover, MESH__ALL_OF(struct mesh__failover)};

static const struct mesh__field_rule service_head_rules[] = {
	HEAD,
	NAMESPACE,
	{.name = "protocol", .type = MESH__FIELD_WORD, .words = protocols, MESH__AT(struct mesh__document, service.protocol), .says = "what its connections speak"},
};

static const struct mesh__field_rule service_rules[] = {
	{.name = "subsets", .type = MESH__FIELD_LIST, .unique = true, .max = MESH__SUBSETS_MAX, .item = &subset_item, .item_size = sizeof(struct mesh__subset), MESH__AT(struct mesh__document, service.subsets),
		.example = "[{name: v1, labels: {version: v1}}]", .says = "parts of the service's instances"},
	{.name = "routes", .type = MESH__FIELD_LIST, .unique = true, .max = MESH__ROUTES_MAX, .item = &route_item, .item_size = sizeof(struct mesh__route), MESH__AT(struct mesh__document, service.routes),
		.example = "[{name: default, split: [{subset: v1, weight: 100}]}]", .says = "the first that matches a request tells where it goes"},
	{.name = "failover", .type = MESH__FIELD_LIST, .unique = true, .max = MESH__FAILOVER_MAX, .item = &failover_item, .item_size = sizeof(struct mesh__failover), MESH__AT(struct mesh__document, service.failover),
		.example = "[{service: payments-dr}]", .says = "services that take over when no endpoint is healthy, in order"},
	{.name = "authorization", .type = MESH__FIELD_MAP, .fields = &mesh__fields_of_authorization, MESH__AT(struct mesh__document, service.authorization), .says = "who may call it"},
	{.name = "fault", .type = MESH__FIELD_MAP, .elsewhere = "belongs to one of its routes, or for a while to a document of kind Fault", .fields = &mesh__fields_of_injection, MESH__AT(struct mesh__document, service.injection),
		.says = "what a Fault injects for a while"},
};

static void check_failover(struct mesh__reading *r, const struct mesh__place *at, const struct mesh__document *doc)
{
	const struct mesh__node *list = mesh__node_get(at->node, "failover"), *item = list == NULL ? NULL : list->child;
	struct mesh__name self = {.trust_domain = ""};
	char key[MESH__SERVICE_KEY_MAX];

	memcpy(self.ns, doc->ns, sizeof(self.ns));
	memcpy(self.service, doc->name, sizeof(self.service));
	mesh__service_key(&self, key);
	if (doc->service.n_failover > 0 && !doc->service.health.on && doc->service.outlier.max_ejected < MESH__WHOLE) {
		struct mesh__place place = mesh__place_of_key(at, list);
		mesh__reading_warn(r, &place, "of several endpoints outlierDetection.maxEjectionPercent keeps some in, whatever they answer, and calls go elsewhere when none is healthy; say 100, or healthCheck");
	}
	for (size_t i = 0; i < doc->service.n_failover; i++, item = item->next) {
		if (strcmp(doc->service.failover[i].service, key) == 0) {
			struct mesh__place up = mesh__place_of(at, list), place = mesh__place_of_item(&up, item, i);
			mesh__reading_fault(r, &place, "is the service itself");
		}
	}
}

/* What one field alone cannot know. */
static void check_service(struct mesh__reading *r, const struct mesh__place *at, void *base)
{
	const struct mesh__node *connect = mesh__node_get(at->node, "connectTimeout");
	struct mesh__service_policy *policy = &((struct mesh__document *)base)->service;

	check_failover(r, at, base);
	policy->timeout_set = mesh__node_get(at->node, "timeout") != NULL;
	mesh__routes_inherit(r, at, policy);
	if (connect != NULL && policy->connect_timeout_ms > policy->timeout_ms) {
		struct mesh__place place = mesh__place_of(at, connect);
		mesh__reading_warn(r, &place, "is longer than the timeout of the whole call, which ends it first");
	}
}

static const struct mesh__fields service_own = {MESH__RULES(service_rules)};
static const struct mesh__fields service_shared = {MESH__RULES(shared_rules), .more = &service_own};
static const struct mesh__fields service_fields = {MESH__RULES(service_head_rules), .more = &service_shared, .check = check_service};

/* ---- kind: Namespace, kind: Mesh ---- */

#define IS_A_SERVICES(field) {.name = field, .type = MESH__FIELD_ELSEWHERE, .says = "belongs to a Service: it is not the same for all of them"}

static const struct mesh__field_rule defaults_head_rules[] = {
	HEAD,
	{.name = "namespace", .type = MESH__FIELD_ELSEWHERE, .says = "is not said here: a Namespace is the one that it is named as, and a Mesh is of none"},
	IS_A_SERVICES("protocol"),
};

static const struct mesh__field_rule defaults_rules[] = {
	IS_A_SERVICES("subsets"),
	IS_A_SERVICES("routes"),
	IS_A_SERVICES("failover"),
	{.name = "authorization", .type = MESH__FIELD_MAP, .fields = &mesh__fields_of_authorization_defaults, MESH__AT(struct mesh__document, service.authorization), .says = "who may call its services"},
};

static void check_mesh(struct mesh__reading *r, const struct mesh__place *at, void *base)
{
	struct mesh__document *doc = base;

	if (strcmp(doc->name, "mesh") != 0) {
		struct mesh__place place = mesh__place_of(at, mesh__node_get(at->node, "name"));
		mesh__reading_fault(r, &place, "there is one Mesh; it is named mesh");
	}
}

static const struct mesh__fields defaults_own = {MESH__RULES(defaults_rules)};
static const struct mesh__fields defaults_shared = {MESH__RULES(shared_rules), .more = &defaults_own};
static const struct mesh__fields namespace_fields = {MESH__RULES(defaults_head_rules), .more = &defaults_shared};
static const struct mesh__fields mesh_fields = {MESH__RULES(defaults_head_rules), .more = &defaults_shared, .check = check_mesh};

/* ---- kind: Fault ---- */

static const struct mesh__field_rule fault_rules[] = {
	{.name = "fault", .type = MESH__FIELD_MAP, .required = true, .fields = &mesh__fields_of_injection, MESH__AT(struct mesh__document, service.injection), .says = "what is injected into calls of the service"},
};

static const struct mesh__fields fault_own = {MESH__RULES(fault_rules)};
static const struct mesh__fields fault_fields = {MESH__RULES(head_rules), .more = &fault_own};

/* ---- kind: Endpoints ---- */

static void check_endpoints(struct mesh__reading *r, const struct mesh__place *at, void *base)
{
	const struct mesh__document *doc = base;
	struct mesh__place list = mesh__place_of(at, mesh__node_get(at->node, "endpoints"));
	const struct mesh__node *node = list.node->child;

	for (size_t i = 0; i < doc->n_endpoints; i++, node = node->next) {
		const struct mesh__addr *addr = &doc->endpoints[i].addr;
		size_t k = 0;
		while (k < i && (doc->endpoints[k].addr.port != addr->port || strcmp(doc->endpoints[k].addr.ip, addr->ip) != 0)) {
			k++;
		}
		if (k < i) {
			struct mesh__place item = mesh__place_of_item(&list, node, i), place = mesh__place_of(&item, mesh__node_get(node, "address"));
			mesh__reading_fault(r, &place, "\"%.60s\" stands in endpoints[%zu] already", place.node->text, k);
		}
	}
}

static const struct mesh__fields endpoints_fields = {MESH__RULES(head_rules), .more = &mesh__fields_of_endpoints, .check = check_endpoints};

/* ---- By kind ---- */

const struct mesh__fields *mesh__fields_of_kind(enum mesh__kind of)
{
	static const struct mesh__fields *const tables[] = {
		[MESH__KIND_SERVICE] = &service_fields,
		[MESH__KIND_ENDPOINTS] = &endpoints_fields,
		[MESH__KIND_NAMESPACE] = &namespace_fields,
		[MESH__KIND_MESH] = &mesh_fields,
		[MESH__KIND_FAULT] = &fault_fields,
	};

	return tables[of];
}

const struct mesh__fields *mesh__fields_of_head(void)
{
	static const struct mesh__fields head = {MESH__RULES(head_rules), .ignores_unknown = true};

	return &head;
}

const struct mesh__word *mesh__kind_words(void)
{
	static const struct mesh__word words[] = {
		{"Service", MESH__KIND_SERVICE},
		{"Endpoints", MESH__KIND_ENDPOINTS},
		{"Namespace", MESH__KIND_NAMESPACE},
		{"Mesh", MESH__KIND_MESH},
		{"Fault", MESH__KIND_FAULT},
		{NULL, 0},
	};

	return words;
}

bool mesh__read_kind(struct mesh__reading *r, const struct mesh__place *at, enum mesh__kind *of)
{
	int value;

	if (!mesh__read_word(r, at, mesh__kind_words(), &value)) {
		return false;
	}
	*of = (enum mesh__kind)value;
	return true;
}
