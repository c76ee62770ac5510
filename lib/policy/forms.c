#include "policy/forms.h"

#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "policy/regex.h"
#include "policy/service.h"
#include "wire/name.h"
#include "wire/path.h"
#include "wire/url.h"

enum { PARAMETER_MAX = 128, HEADER_NAME_MAX = 128, METHOD_MAX = 32, HOST_MAX = 253 };

static bool as_it_stands(const char *text, char *normal)
{
	memcpy(normal, text, strlen(text) + 1);
	return true;
}

static bool check_label(struct mesh__reading *r, const struct mesh__place *at, const char *text, char *normal)
{
	if (mesh__label_valid(text, strlen(text))) {
		return as_it_stands(text, normal);
	}
	mesh__reading_fault(r, at, "\"%.100s\" is no name; use lower-case letters, digits and inner hyphens, at most %d", text, MESH__LABEL_MAX);
	return false;
}

static bool check_service(struct mesh__reading *r, const struct mesh__place *at, const char *text, char *normal)
{
	struct mesh__err err = MESH__NO_ERR;
	struct mesh__name name;

	if (mesh__service_parse(text, r->ns, &name, &err) != MESH_OK) {
		mesh__reading_fault(r, at, "%s", err.message);
		return false;
	}
	mesh__service_key(&name, normal);
	mesh__reading_refer(r, at, normal);
	return true;
}

static bool check_tag(struct mesh__reading *r, const struct mesh__place *at, const char *text, char *normal)
{
	for (const char *p = text; *p != '\0'; p++) {
		if ((unsigned char)*p <= 0x20 || *p == 0x7f) {
			mesh__reading_fault(r, at, "\"%s\" holds a space or a control character", text);
			return false;
		}
	}
	return as_it_stands(text, normal);
}

static bool check_method(struct mesh__reading *r, const struct mesh__place *at, const char *text, char *normal)
{
	if (!mesh__method_valid(text)) {
		mesh__reading_fault(r, at, "\"%.40s\" is no HTTP method that is carried", text);
		return false;
	}
	if (strpbrk(text, "abcdefghijklmnopqrstuvwxyz") != NULL) {
		mesh__reading_fault(r, at, "\"%.40s\" matches nothing, as methods are compared with their case; write it in capitals", text);
		return false;
	}
	return as_it_stands(text, normal);
}

static bool check_header(struct mesh__reading *r, const struct mesh__place *at, const char *text, char *normal)
{
	if (!mesh__field_name_valid(text, strlen(text))) {
		mesh__reading_fault(r, at, "\"%.60s\" is no header's name", text);
		return false;
	}
	for (; *text != '\0'; text++) {
		*normal++ = (char)(*text >= 'A' && *text <= 'Z' ? *text + ('a' - 'A') : *text);
	}
	*normal = '\0';
	return true;
}

static bool check_edited_header(struct mesh__reading *r, const struct mesh__place *at, const char *text, char *normal)
{
	static const char grpc[] = "grpc-"; /* a forged status, a longer deadline */

	if (!check_header(r, at, text, normal)) {
		return false;
	}
	if (mesh__field_is_mesh(text, strlen(text)) || mesh__field_is_claim(text, strlen(text))) {
		mesh__reading_fault(r, at, "belongs to the mesh itself");
		return false;
	}
	if (mesh__field_is_hop(text, strlen(text))) {
		mesh__reading_fault(r, at, "is of one connection, which the library keeps in order");
		return false;
	}
	if (mesh__str_eq_nocase(text, strnlen(text, sizeof(grpc) - 1), grpc)) {
		mesh__reading_fault(r, at, "belongs to gRPC");
		return false;
	}
	return true;
}

static bool check_token(struct mesh__reading *r, const struct mesh__place *at, const char *text, char *normal)
{
	if (mesh__field_name_valid(text, strlen(text))) {
		return as_it_stands(text, normal);
	}
	mesh__reading_fault(r, at, "\"%.60s\" is no cookie's name", text);
	return false;
}

static bool check_value(struct mesh__reading *r, const struct mesh__place *at, const char *text, char *normal)
{
	if (mesh__field_value_valid(text, strlen(text))) {
		return as_it_stands(text, normal);
	}
	mesh__reading_fault(r, at, "is no header's value: it holds a control character, or begins or ends with a space");
	return false;
}

/* Kept as requests' paths are when they are compared with it. */
static bool check_path(struct mesh__reading *r, const struct mesh__place *at, const char *text, char *normal)
{
	if (!mesh__target_valid(text, strlen(text)) || strchr(text, '?') != NULL) {
		mesh__reading_fault(r, at, "\"%.100s\" is no path: it begins with '/', is percent-encoded, and has no '?' or '#'", text);
		return false;
	}
	(void)as_it_stands(text, normal);
	if (!mesh__path_normalise(normal)) {
		mesh__reading_fault(r, at, "\"%.100s\" has more than one reading, so requests for it are refused", text);
		return false;
	}
	if (strcmp(text, normal) != 0) {
		mesh__reading_fault(r, at, "\"%.100s\" is not how paths are compared; write \"%.100s\"", text, normal);
		return false;
	}
	return true;
}

static bool check_host(struct mesh__reading *r, const struct mesh__place *at, const char *text, char *normal)
{
	if (text[strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.:[]")] == '\0') {
		return as_it_stands(text, normal);
	}
	mesh__reading_fault(r, at, "\"%.100s\" is no host with or without a port", text);
	return false;
}

#define TOKEN "[-!#$%&'*+.^_`|~0-9A-Za-z]+"
#define LABEL "[a-z0-9]([-a-z0-9]*[a-z0-9])?"

const struct mesh__text_form mesh__form_label = {MESH__LABEL_MAX, check_label, "^" LABEL "$"};
const struct mesh__text_form mesh__form_service = {MESH__SERVICE_KEY_MAX - 1, check_service, "^" LABEL "([.]" LABEL ")?$"};
const struct mesh__text_form mesh__form_tag = {MESH__LABEL_MAX, check_tag, "^[^\\u0000-\\u0020\\u007f]+$"};
const struct mesh__text_form mesh__form_method = {METHOD_MAX, check_method, "^[-!#$%&'*+.^_`|~0-9A-Z]+$"};
const struct mesh__text_form mesh__form_header = {HEADER_NAME_MAX, check_header, "^" TOKEN "$"};
const struct mesh__text_form mesh__form_edited_header = {HEADER_NAME_MAX, check_edited_header, "^" TOKEN "$"};
const struct mesh__text_form mesh__form_token = {HEADER_NAME_MAX, check_token, "^" TOKEN "$"};
const struct mesh__text_form mesh__form_value = {MESH__TEXT_MAX, check_value, NULL};
const struct mesh__text_form mesh__form_parameter = {PARAMETER_MAX, NULL, NULL};
const struct mesh__text_form mesh__form_path = {MESH__TEXT_MAX, check_path, "^/[^?# ]*$"};
const struct mesh__text_form mesh__form_host = {HOST_MAX, check_host, "^[-.:0-9A-Za-z\\[\\]]+$"};
const struct mesh__text_form mesh__form_pattern = {MESH__REGEX_PATTERN_MAX, NULL, NULL};
const struct mesh__text_form mesh__form_body = {MESH__DIRECT_BODY_MAX, NULL, NULL};
