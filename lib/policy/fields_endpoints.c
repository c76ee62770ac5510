/* Kind Endpoints: instances that do not register themselves. */
#include <string.h>

#include "policy/fields.h"
#include "policy/forms.h"

static void read_address(struct mesh__reading *r, const struct mesh__place *at, void *slot)
{
	struct mesh__addr *addr = slot;
	struct mesh__err err = MESH__NO_ERR;
	const char *text;

	if (!mesh__read_text(r, at, &text)) {
		return;
	}
	if (mesh__addr_parse("address", text, false, addr, &err) != MESH_OK) {
		mesh__reading_fault(r, at, "%s", err.message);
	} else if (strcmp(addr->ip, "0.0.0.0") == 0 || strcmp(addr->ip, "::") == 0) {
		mesh__reading_fault(r, at, "\"%.60s\" is an address to listen on, not to call", text);
	}
}

static void write_address(struct mesh__json_out *out, const char *name, const void *slot)
{
	char text[MESH__ADDR_TEXT];

	mesh__addr_format(slot, text);
	mesh__json_put_text(out, name, text);
}

static const struct mesh__custom_field address = {read_address, write_address, "\"type\":\"string\",\"pattern\":\"^([0-9.]+|\\\\[[0-9A-Fa-f:.]+\\\\]):[0-9]+$\""};

static void read_plaintext(struct mesh__reading *r, const struct mesh__place *at, void *slot)
{
	bool *plaintext = slot;

	if (mesh__read_bool(r, at, plaintext) && *plaintext) {
		mesh__reading_warn(r, at, "calls to it are neither encrypted nor authenticated");
	}
}

static void write_plaintext(struct mesh__json_out *out, const char *name, const void *slot)
{
	mesh__json_put_bool(out, name, *(const bool *)slot);
}

static const struct mesh__custom_field plaintext = {read_plaintext, write_plaintext, "\"type\":\"boolean\""};

static const struct mesh__field_rule label_rules[] = {
	{.name = "version", .type = MESH__FIELD_TEXT, .form = &mesh__form_tag, MESH__AT(struct mesh__static_endpoint, version), .says = "the version that a response tells, and that subsets are made of"},
};

static const struct mesh__fields label_fields = {MESH__RULES(label_rules), .unknown = "labels other than version are not in force yet"};

static const struct mesh__field_rule endpoint_rules[] = {
	{.name = "address", .type = MESH__FIELD_CUSTOM, .required = true, .custom = &address, MESH__AT(struct mesh__static_endpoint, addr), .says = "an IP literal with port"},
	{.name = "zone", .type = MESH__FIELD_TEXT, .form = &mesh__form_tag, MESH__AT(struct mesh__static_endpoint, zone), .says = "where it is"},
	{.name = "weight", .type = MESH__FIELD_COUNT, .min = 1, .max = MESH__ENDPOINT_WEIGHT_MAX, MESH__AT(struct mesh__static_endpoint, weight), .says = "its share beside the others; left out: 1"},
	{.name = "labels", .type = MESH__FIELD_MAP, .fields = &label_fields, MESH__ALL_OF(struct mesh__static_endpoint), .says = "what it is"},
};

static const struct mesh__fields endpoint_fields = {MESH__RULES(endpoint_rules)};
static const struct mesh__field_rule endpoint_item = {.type = MESH__FIELD_MAP, .fields = &endpoint_fields, MESH__ALL_OF(struct mesh__static_endpoint)};

static const struct mesh__field_rule endpoints_rules[] = {
	{.name = "endpoints", .type = MESH__FIELD_LIST, .required = true, .min = 1, .max = MESH__STATIC_ENDPOINTS_MAX, .item = &endpoint_item, .item_size = sizeof(struct mesh__static_endpoint), MESH__AT(struct mesh__document, endpoints),
		.example = "[{address: \"10.0.0.1:443\"}]", .says = "instances that do not register themselves"},
	{.name = "insecurePlaintext", .type = MESH__FIELD_CUSTOM, .custom = &plaintext, MESH__AT(struct mesh__document, insecure_plaintext), .says = "true: no mesh identity, plain HTTP"},
};

const struct mesh__fields mesh__fields_of_endpoints = {MESH__RULES(endpoints_rules)};
