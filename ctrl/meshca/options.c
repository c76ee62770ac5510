#include "meshca/options.h"

#include <stddef.h>
#include <string.h>

#include "base/env.h"
#include "base/str.h"
#include "wire/name.h"

#define IN(name) (1U << MESHCA_COMMAND_##name)

#define DAY_MS ((int64_t)24 * 3600 * 1000)

enum kind { TEXT, NUMBER, DURATION, FORMAT, HELP };

struct option {
	const char *name;
	enum kind kind;
	size_t offset;     /* of its field in struct meshca_options */
	int64_t min, max;  /* of numbers, and of durations in milliseconds */
	unsigned commands; /* that take it */
	unsigned required; /* commands that cannot do without */
};

#define FIELD(field) offsetof(struct meshca_options, field)

static const struct option options[] = {
	{"--dir", TEXT, FIELD(dir), 0, 0, IN(INIT) | IN(INTERMEDIATE) | IN(SIGN) | IN(SHOW) | IN(SERVE), IN(INIT) | IN(INTERMEDIATE) | IN(SIGN) | IN(SERVE)},
	{"--out", TEXT, FIELD(out), 0, 0, IN(INTERMEDIATE) | IN(REQUEST) | IN(SIGN), IN(INTERMEDIATE) | IN(REQUEST)},
	{"--csr", TEXT, FIELD(csr), 0, 0, IN(INTERMEDIATE) | IN(SIGN), IN(SIGN)},
	{"--service", TEXT, FIELD(service), 0, 0, IN(SIGN), IN(SIGN)},
	{"--namespace", TEXT, FIELD(ns), 0, 0, IN(SIGN), 0},
	{"--trust-domain", TEXT, FIELD(trust_domain), 0, 0, IN(INIT) | IN(SERVE), 0},
	{"--user", TEXT, FIELD(user), 0, 0, IN(SERVE), 0},
	{"--log-level", TEXT, FIELD(log_level), 0, 0, IN(SERVE), 0},
	{"--days", NUMBER, FIELD(days), 1, 36500, IN(INIT) | IN(INTERMEDIATE), 0},
	{"--rate", NUMBER, FIELD(rate), 1, 1000000, IN(SERVE), 0},
	{"--fd", NUMBER, FIELD(fd), 0, 1 << 20, IN(SERVE), IN(SERVE)},
	{"--ttl", DURATION, FIELD(ttl_ms), 1000, 3650 * DAY_MS, IN(SIGN), 0},
	{"--max-ttl", DURATION, FIELD(ttl_max_ms), 1000, 3650 * DAY_MS, IN(SERVE), 0},
	{"-o", FORMAT, FIELD(json), 0, 0, IN(SHOW), 0},
	{"--help", HELP, FIELD(help), 0, 0, ~0U, 0},
	{"-h", HELP, FIELD(help), 0, 0, ~0U, 0},
};

static const char *const command_names[] = {
#define X(name, text) text,
	MESHCA_COMMANDS(X)
#undef X
};

const char *meshca_command_name(enum meshca_command command)
{
	return (unsigned)command < MESH__COUNT(command_names) ? command_names[command] : "?";
}

bool meshca_command_parse(const char *text, enum meshca_command *command)
{
	for (size_t i = 0; i < MESH__COUNT(command_names); i++) {
		if (strcmp(text, command_names[i]) == 0) {
			*command = (enum meshca_command)i;
			return true;
		}
	}
	return false;
}

const char *meshca_command_nearest(const char *text)
{
	return mesh__str_nearest(text, command_names, MESH__COUNT(command_names));
}

/* The option whose name is the first `len` bytes, if the command takes it. */
static const struct option *find(enum meshca_command command, const char *text, size_t len)
{
	for (size_t i = 0; i < MESH__COUNT(options); i++) {
		if (strlen(options[i].name) == len && strncmp(options[i].name, text, len) == 0 && (options[i].commands & (1U << command)) != 0) {
			return &options[i];
		}
	}
	return NULL;
}

static int fail_unknown(enum meshca_command command, const char *text, struct mesh__err *err)
{
	const char *names[MESH__COUNT(options)], *nearest;
	size_t n = 0;

	for (size_t i = 0; i < MESH__COUNT(options); i++) {
		if ((options[i].commands & (1U << command)) != 0) {
			names[n++] = options[i].name;
		}
	}
	nearest = mesh__str_nearest(text, names, n);
	return mesh__fail(err, MESH_E_INVALID, "%s: no such option of `meshca %s`%s%s", text, meshca_command_name(command), nearest != NULL ? "; did you mean " : "", nearest != NULL ? nearest : "");
}

static int store_number(const struct option *option, const char *value, int64_t *field, struct mesh__err *err)
{
	uint64_t number;

	if (!mesh__str_u64(value, strlen(value), (uint64_t)option->max, &number) || number < (uint64_t)option->min) {
		return mesh__fail(err, MESH_E_INVALID, "%s %s: give a number from %lld to %lld", option->name, value, (long long)option->min, (long long)option->max);
	}
	*field = (int64_t)number;
	return MESH_OK;
}

static int store_duration(const struct option *option, const char *value, int64_t *field, struct mesh__err *err)
{
	char least[24], most[24];

	if (!mesh__duration_parse(value, strlen(value), field) || *field < option->min || *field > option->max) {
		mesh__duration_format(option->min, least);
		mesh__duration_format(option->max, most);
		return mesh__fail(err, MESH_E_INVALID, "%s %s: give a duration such as 48h, from %s to %s", option->name, value, least, most);
	}
	return MESH_OK;
}

static int store_value(const struct option *option, const char *value, struct meshca_options *out, struct mesh__err *err)
{
	void *field = (char *)out + option->offset;

	switch (option->kind) {
	case TEXT:
		if (value[0] == '\0') {
			return mesh__fail(err, MESH_E_INVALID, "%s: the value is empty", option->name);
		}
		*(const char **)field = value;
		return MESH_OK;
	case NUMBER:
		return store_number(option, value, field, err);
	case DURATION:
		return store_duration(option, value, field, err);
	case FORMAT:
		*(bool *)field = strcmp(value, "json") == 0;
		return *(bool *)field || strcmp(value, "text") == 0 ? MESH_OK : mesh__fail(err, MESH_E_INVALID, "-o %s: text and json are the formats", value);
	case HELP:
		break;
	}
	return mesh__fail(err, MESH_E_INTERNAL, "%s", option->name);
}

static int take_positional(enum meshca_command command, const char *text, struct meshca_options *out, struct mesh__err *err)
{
	if (command != MESHCA_COMMAND_SHOW || out->file != NULL) {
		return mesh__fail(err, MESH_E_INVALID, "%s: one argument too many for `meshca %s`", text, meshca_command_name(command));
	}
	out->file = text;
	return MESH_OK;
}

/* Takes argv[*i], and argv[*i + 1] where that is its value. */
static int take(enum meshca_command command, int argc, char *const *argv, int *i, struct meshca_options *out, struct mesh__err *err)
{
	const char *text = argv[*i];
	const char *equals = strncmp(text, "--", 2) == 0 ? strchr(text, '=') : NULL;
	const struct option *option = find(command, text, equals != NULL ? (size_t)(equals - text) : strlen(text));

	if (text[0] != '-' || text[1] == '\0') {
		return take_positional(command, text, out, err);
	}
	if (option == NULL) {
		return fail_unknown(command, text, err);
	}
	if (option->kind == HELP) {
		out->help = true;
		return MESH_OK;
	}
	if (equals != NULL) {
		return store_value(option, equals + 1, out, err);
	}
	if (*i + 1 >= argc) {
		return mesh__fail(err, MESH_E_INVALID, "%s: a value must follow", option->name);
	}
	*i += 1;
	return store_value(option, argv[*i], out, err);
}

static int check_required(enum meshca_command command, const struct meshca_options *out, struct mesh__err *err)
{
	enum mesh__log_level level;

	for (size_t i = 0; i < MESH__COUNT(options); i++) {
		const void *field = (const char *)out + options[i].offset;
		bool given = options[i].kind == TEXT ? *(const char *const *)field != NULL : options[i].kind != NUMBER || *(const int64_t *)field >= 0;
		if ((options[i].required & (1U << command)) != 0 && !given) {
			return mesh__fail(err, MESH_E_INVALID, "%s is missing; `meshca %s --help` tells what it is for", options[i].name, meshca_command_name(command));
		}
	}
	if (command == MESHCA_COMMAND_SHOW && (out->dir == NULL) == (out->file == NULL)) {
		return mesh__fail(err, MESH_E_INVALID, "give either --dir DIR or one FILE");
	}
	if (out->trust_domain != NULL && !mesh__trust_domain_valid(out->trust_domain, strlen(out->trust_domain))) {
		return mesh__fail(err, MESH_E_INVALID, "--trust-domain %s: use lower-case letters, digits and hyphens in labels joined by dots, at most %d bytes", out->trust_domain, (int)MESH__TRUST_DOMAIN_MAX);
	}
	if (out->log_level != NULL && !mesh__log_level_parse(out->log_level, &level)) {
		return mesh__fail(err, MESH_E_INVALID, "--log-level %s: it must be debug, info, warn, error or off", out->log_level);
	}
	if (command == MESHCA_COMMAND_SERVE && out->fd == 2) {
		return mesh__fail(err, MESH_E_INVALID, "--fd 2: standard error is for the log");
	}
	return MESH_OK;
}

int meshca_options_parse(enum meshca_command command, int argc, char *const *argv, struct meshca_options *out, struct mesh__err *err)
{
	int code = MESH_OK;

	memset(out, 0, sizeof(*out));
	out->fd = -1;
	for (int i = 0; code == MESH_OK && i < argc && !out->help; i++) {
		code = take(command, argc, argv, &i, out, err);
	}
	return code == MESH_OK && !out->help ? check_required(command, out, err) : code;
}
