#include "policy/fields.h"

#include <string.h>

#include "base/str.h"

static const int64_t minute_ms = 60000;
static const int64_t day_ms = 86400000;

/* ---- The head ---- */

static void read_api_version(struct mesh__reading *r, const struct mesh__place *at, void *target)
{
	const char *text;

	(void)target;
	if (mesh__read_text(r, at, &text) && strcmp(text, "mesh/v1") != 0) {
		mesh__reading_fault(r, at, "\"%.60s\" is not known; write mesh/v1", text);
	}
}

/* The kind has chosen the table that this stands in. */
static void read_nothing(struct mesh__reading *r, const struct mesh__place *at, void *target)
{
	(void)r;
	(void)at;
	(void)target;
}

static void read_label(struct mesh__reading *r, const struct mesh__place *at, char out[MESH__LABEL_MAX + 1])
{
	const char *text;

	if (!mesh__read_text(r, at, &text)) {
		return;
	}
	if (!mesh__label_valid(text, strlen(text))) {
		mesh__reading_fault(r, at, "\"%.100s\" is no name; use lower-case letters, digits and inner hyphens, at most %d",
			text, MESH__LABEL_MAX);
		return;
	}
	memcpy(out, text, strlen(text) + 1);
}

static void read_name(struct mesh__reading *r, const struct mesh__place *at, void *target)
{
	struct mesh__document *doc = target;

	read_label(r, at, doc->name);
}

static void read_namespace(struct mesh__reading *r, const struct mesh__place *at, void *target)
{
	struct mesh__document *doc = target;

	read_label(r, at, doc->ns);
}

#define HEAD                                                                                                           \
	{"apiVersion", true, read_api_version, NULL}, {"kind", true, read_nothing, NULL},                              \
		{"name", true, read_name, NULL},                                                                       \
		{"namespace", false, read_namespace, NULL}

/* ---- kind: Service ---- */

static void read_protocol(struct mesh__reading *r, const struct mesh__place *at, void *target)
{
	static const struct mesh__word words[] = {
		{"http", MESH__PROTOCOL_HTTP},
		{"http2", MESH__PROTOCOL_HTTP2},
		{"grpc", MESH__PROTOCOL_GRPC},
		{"tcp", MESH__WORD_NOT_YET},
	};
	struct mesh__document *doc = target;
	int value;

	if (mesh__read_word(r, at, words, MESH__COUNT(words), &value)) {
		doc->service.protocol = (enum mesh__protocol)value;
	}
}

static void write_protocol(struct mesh__json_out *out, const char *name, const struct mesh__node *node, const void *target)
{
	const struct mesh__document *doc = target;

	(void)node;
	mesh__json_put_text(out, name, mesh__protocol_name(doc->service.protocol));
}

static void read_timeout(struct mesh__reading *r, const struct mesh__place *at, void *target)
{
	struct mesh__document *doc = target;

	doc->service.timeout_set = mesh__read_duration(r, at, 1, day_ms, &doc->service.timeout_ms);
}

static void write_duration(struct mesh__json_out *out, const char *name, int64_t ms)
{
	char text[24];

	mesh__duration_format(ms, text);
	mesh__json_put_text(out, name, text);
}

static void write_timeout(struct mesh__json_out *out, const char *name, const struct mesh__node *node, const void *target)
{
	const struct mesh__document *doc = target;

	(void)node;
	write_duration(out, name, doc->service.timeout_ms);
}

static void read_connect_timeout(struct mesh__reading *r, const struct mesh__place *at, void *target)
{
	struct mesh__document *doc = target;

	(void)mesh__read_duration(r, at, 1, minute_ms, &doc->service.connect_timeout_ms);
}

static void write_connect_timeout(struct mesh__json_out *out, const char *name, const struct mesh__node *node, const void *target)
{
	const struct mesh__document *doc = target;

	(void)node;
	write_duration(out, name, doc->service.connect_timeout_ms);
}

static void read_balancer(struct mesh__reading *r, const struct mesh__place *at, void *target)
{
	static const struct mesh__word words[] = {
#define X(name, text) {text, MESH__BALANCER_##name},
		MESH__BALANCERS(X)
#undef X
		{"leastRequest", MESH__WORD_NOT_YET},
		{"random", MESH__WORD_NOT_YET},
		{"ringHash", MESH__WORD_NOT_YET},
		{"maglev", MESH__WORD_NOT_YET},
	};
	struct mesh__document *doc = target;
	int value;

	if (mesh__read_word(r, at, words, MESH__COUNT(words), &value)) {
		doc->service.balancer = (enum mesh__balancer)value;
	}
}

static void write_balancer(struct mesh__json_out *out, const char *name, const struct mesh__node *node, const void *target)
{
	const struct mesh__document *doc = target;

	(void)node;
	mesh__json_put_text(out, name, mesh__balancer_name(doc->service.balancer));
}

static const struct mesh__field_rule load_balancer_rules[] = {
	{"policy", false, read_balancer, write_balancer},
	{"slowStart", false, NULL, NULL},
	{"panicThreshold", false, NULL, NULL},
	{"hashOn", false, NULL, NULL},
	{"zoneAware", false, NULL, NULL},
};

static const struct mesh__fields load_balancer_fields = {load_balancer_rules, MESH__COUNT(load_balancer_rules), .unknown = "unknown field"};

static void read_load_balancer(struct mesh__reading *r, const struct mesh__place *at, void *target)
{
	mesh__read_fields(r, at, &load_balancer_fields, target);
}

static void write_load_balancer(struct mesh__json_out *out, const char *name, const struct mesh__node *node, const void *target)
{
	mesh__json_open(out, name, '{');
	mesh__write_fields(out, node, &load_balancer_fields, target);
	mesh__json_close(out, '}');
}

/* A limit is read and written alike, whichever it is. */
#define X(limit, member, text, least)                                                                                  \
	static void read_##member(struct mesh__reading *r, const struct mesh__place *at, void *target)                  \
	{                                                                                                               \
		struct mesh__document *doc = target;                                                                    \
		(void)mesh__read_count(r, at, least, MESH__BREAKER_MOST, &doc->service.breaker.member);                 \
	}                                                                                                               \
	static void write_##member(struct mesh__json_out *out, const char *name, const struct mesh__node *node, const void *target) \
	{                                                                                                               \
		const struct mesh__document *doc = target;                                                              \
		(void)node;                                                                                             \
		mesh__json_put_int(out, name, doc->service.breaker.member);                                             \
	}
MESH__BREAKER_LIMITS(X)
#undef X

static const struct mesh__field_rule circuit_breaker_rules[] = {
#define X(limit, member, text, least) {text, false, read_##member, write_##member},
	MESH__BREAKER_LIMITS(X)
#undef X
};

static const struct mesh__fields circuit_breaker_fields = {circuit_breaker_rules, MESH__COUNT(circuit_breaker_rules), .unknown = "unknown field"};

static void read_circuit_breaker(struct mesh__reading *r, const struct mesh__place *at, void *target)
{
	mesh__read_fields(r, at, &circuit_breaker_fields, target);
}

static void write_circuit_breaker(struct mesh__json_out *out, const char *name, const struct mesh__node *node, const void *target)
{
	mesh__json_open(out, name, '{');
	mesh__write_fields(out, node, &circuit_breaker_fields, target);
	mesh__json_close(out, '}');
}

static const struct mesh__field_rule service_rules[] = {
	HEAD,
	{"protocol", false, read_protocol, write_protocol},
	{"timeout", false, read_timeout, write_timeout},
	{"connectTimeout", false, read_connect_timeout, write_connect_timeout},
	{"loadBalancer", false, read_load_balancer, write_load_balancer},
	{"retries", false, NULL, NULL},
	{"hedging", false, NULL, NULL},
	{"circuitBreaker", false, read_circuit_breaker, write_circuit_breaker},
	{"outlierDetection", false, NULL, NULL},
	{"healthCheck", false, NULL, NULL},
	{"rateLimit", false, NULL, NULL},
	{"concurrencyLimit", false, NULL, NULL},
	{"subsets", false, NULL, NULL},
	{"routes", false, NULL, NULL},
	{"failover", false, NULL, NULL},
	{"authorization", false, NULL, NULL},
};

/* ---- kind: Endpoints ---- */

static void read_address(struct mesh__reading *r, const struct mesh__place *at, void *target)
{
	struct mesh__static_endpoint *endpoint = target;
	struct mesh__err err = MESH__NO_ERR;
	const char *text;

	if (!mesh__read_text(r, at, &text)) {
		return;
	}
	if (mesh__addr_parse("address", text, false, &endpoint->addr, &err) != MESH_OK) {
		mesh__reading_fault(r, at, "%s", err.message);
	} else if (strcmp(endpoint->addr.ip, "0.0.0.0") == 0 || strcmp(endpoint->addr.ip, "::") == 0) {
		mesh__reading_fault(r, at, "\"%.60s\" is an address to listen on, not to call", text);
	}
}

/* A tag such as a zone or a version: short, printable, copied. */
static void read_tag(struct mesh__reading *r, const struct mesh__place *at, const char **out)
{
	const char *text;

	if (!mesh__read_text(r, at, &text)) {
		return;
	}
	if (strlen(text) > MESH__LABEL_MAX) {
		mesh__reading_fault(r, at, "is longer than %d bytes", MESH__LABEL_MAX);
		return;
	}
	for (const char *p = text; *p != '\0'; p++) {
		if ((unsigned char)*p <= 0x20 || *p == 0x7f) {
			mesh__reading_fault(r, at, "\"%s\" holds a space or a control character", text);
			return;
		}
	}
	*out = mesh__arena_strdup(r->arena, text);
	r->no_memory |= *out == NULL;
}

static void read_zone(struct mesh__reading *r, const struct mesh__place *at, void *target)
{
	struct mesh__static_endpoint *endpoint = target;

	read_tag(r, at, &endpoint->zone);
}

static void read_version(struct mesh__reading *r, const struct mesh__place *at, void *target)
{
	struct mesh__static_endpoint *endpoint = target;

	read_tag(r, at, &endpoint->version);
}

static void read_labels(struct mesh__reading *r, const struct mesh__place *at, void *target)
{
	static const struct mesh__field_rule rules[] = {{"version", false, read_version, NULL}};
	static const struct mesh__fields fields = {
		rules, MESH__COUNT(rules), .unknown = "labels other than version are not in force yet",
	};

	mesh__read_fields(r, at, &fields, target);
}

/* Compares the last endpoint with those before it. */
static void refuse_twice(struct mesh__reading *r, const struct mesh__place *at, const struct mesh__document *doc)
{
	const struct mesh__addr *last = &doc->endpoints[doc->n_endpoints - 1].addr;

	for (size_t i = 0; last->ip[0] != '\0' && i < doc->n_endpoints - 1; i++) {
		const struct mesh__addr *other = &doc->endpoints[i].addr;
		if (other->port == last->port && strcmp(other->ip, last->ip) == 0) {
			const struct mesh__node *node = mesh__node_get(at->node, "address");
			struct mesh__place place = mesh__place_of(at, node);
			mesh__reading_fault(r, &place, "\"%.60s\" stands in endpoints[%zu] already", node->text, i);
			return;
		}
	}
}

static void read_endpoint(struct mesh__reading *r, const struct mesh__place *at, struct mesh__document *doc)
{
	static const struct mesh__field_rule rules[] = {
		{"address", true, read_address, NULL},
		{"zone", false, read_zone, NULL},
		{"labels", false, read_labels, NULL},
	};
	static const struct mesh__fields fields = {rules, MESH__COUNT(rules), .unknown = "unknown field"};

	mesh__read_fields(r, at, &fields, &doc->endpoints[doc->n_endpoints++]);
	refuse_twice(r, at, doc);
}

static bool count_endpoints(struct mesh__reading *r, const struct mesh__place *at, size_t *n)
{
	*n = 0;
	if (at->node->kind != MESH__NODE_LIST) {
		mesh__reading_fault(r, at, "wants a list such as [{address: \"10.0.0.1:443\"}]");
		return false;
	}
	for (const struct mesh__node *item = at->node->child; item != NULL; item = item->next) {
		(*n)++;
	}
	if (*n == 0) {
		mesh__reading_fault(r, at, "is empty; name at least one address");
		return false;
	}
	if (*n > MESH__STATIC_ENDPOINTS_MAX) {
		mesh__reading_fault(r, at, "has %zu members; at most %d are taken", *n, MESH__STATIC_ENDPOINTS_MAX);
		return false;
	}
	return true;
}

static void read_endpoints(struct mesh__reading *r, const struct mesh__place *at, void *target)
{
	struct mesh__document *doc = target;
	const struct mesh__node *item;
	size_t n;

	if (!count_endpoints(r, at, &n)) {
		return;
	}
	doc->endpoints = mesh__arena_alloc(r->arena, n, sizeof(*doc->endpoints));
	if (doc->endpoints == NULL) {
		r->no_memory = true;
		return;
	}
	for (item = at->node->child; item != NULL && !mesh__reading_full(r); item = item->next) {
		struct mesh__place place = mesh__place_of_item(at, item, doc->n_endpoints);
		read_endpoint(r, &place, doc);
	}
}

static void write_endpoints(struct mesh__json_out *out, const char *name, const struct mesh__node *node, const void *target)
{
	const struct mesh__document *doc = target;
	char address[MESH__ADDR_TEXT];

	(void)node;
	mesh__json_open(out, name, '[');
	for (size_t i = 0; i < doc->n_endpoints; i++) {
		mesh__addr_format(&doc->endpoints[i].addr, address);
		mesh__json_open(out, NULL, '{');
		mesh__json_put_text(out, "address", address);
		mesh__json_put_text(out, "zone", doc->endpoints[i].zone);
		if (doc->endpoints[i].version != NULL) {
			mesh__json_open(out, "labels", '{');
			mesh__json_put_text(out, "version", doc->endpoints[i].version);
			mesh__json_close(out, '}');
		}
		mesh__json_close(out, '}');
	}
	mesh__json_close(out, ']');
}

static void read_insecure_plaintext(struct mesh__reading *r, const struct mesh__place *at, void *target)
{
	struct mesh__document *doc = target;

	if (mesh__read_bool(r, at, &doc->insecure_plaintext) && doc->insecure_plaintext) {
		mesh__reading_warn(r, at, "calls to it are neither encrypted nor authenticated");
	}
}

static void write_insecure_plaintext(struct mesh__json_out *out, const char *name, const struct mesh__node *node, const void *target)
{
	const struct mesh__document *doc = target;

	(void)node;
	mesh__json_put_bool(out, name, doc->insecure_plaintext);
}

static const struct mesh__field_rule endpoints_rules[] = {
	HEAD,
	{"endpoints", true, read_endpoints, write_endpoints},
	{"insecurePlaintext", false, read_insecure_plaintext, write_insecure_plaintext},
};

/* ---- By kind ---- */

const struct mesh__fields *mesh__fields_of_kind(enum mesh__kind kind)
{
	static const struct mesh__fields service = {service_rules, MESH__COUNT(service_rules), .unknown = "unknown field"};
	static const struct mesh__fields endpoints = {endpoints_rules, MESH__COUNT(endpoints_rules), .unknown = "unknown field"};

	return kind == MESH__KIND_ENDPOINTS ? &endpoints : &service;
}

const struct mesh__fields *mesh__fields_of_head(void)
{
	static const struct mesh__field_rule rules[] = {HEAD};
	static const struct mesh__fields head = {rules, MESH__COUNT(rules), .unknown = NULL};

	return &head;
}

bool mesh__read_kind(struct mesh__reading *r, const struct mesh__place *at, enum mesh__kind *kind)
{
	static const struct mesh__word words[] = {
		{"Service", MESH__KIND_SERVICE},
		{"Endpoints", MESH__KIND_ENDPOINTS},
		{"Mesh", MESH__WORD_NOT_YET},
		{"Namespace", MESH__WORD_NOT_YET},
	};
	int value;

	if (!mesh__read_word(r, at, words, MESH__COUNT(words), &value)) {
		return false;
	}
	*kind = (enum mesh__kind)value;
	return true;
}
