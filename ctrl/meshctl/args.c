#include "meshctl/args.h"

#include <stdio.h>
#include <string.h>

#include "base/str.h"

enum { NAMES_MAX = 64, HELP_COLUMN = 26 };

/* One word of the command line, with its value where it has one. */
enum word_kind { WORD_END, WORD_OPERAND, WORD_OPTION, WORD_UNKNOWN, WORD_NO_VALUE, WORD_VALUE_UNASKED };

struct word {
	enum word_kind kind;
	const struct ctl_option *option;
	const char *text;  /* as written */
	const char *value;
};

struct cursor {
	const struct ctl_option *const *tables;
	size_t n_tables;
	int argc, at;
	char *const *argv;
	bool options_ended;
};

static const struct ctl_option *find_name(const struct cursor *c, const char *name, size_t len)
{
	for (size_t t = 0; t < c->n_tables; t++) {
		for (const struct ctl_option *o = c->tables[t]; o != NULL && o->name != NULL; o++) {
			if (strlen(o->name) == len && memcmp(o->name, name, len) == 0) {
				return o;
			}
		}
	}
	return NULL;
}

static const struct ctl_option *find_letter(const struct cursor *c, char letter)
{
	for (size_t t = 0; t < c->n_tables; t++) {
		for (const struct ctl_option *o = c->tables[t]; o != NULL && o->name != NULL; o++) {
			if (o->letter == letter) {
				return o;
			}
		}
	}
	return NULL;
}

static struct word long_option(const struct cursor *c, const char *text)
{
	const char *equals = strchr(text, '=');
	size_t len = equals != NULL ? (size_t)(equals - text) - 2 : strlen(text) - 2;
	struct word w = {WORD_OPTION, find_name(c, text + 2, len), text, equals != NULL ? equals + 1 : NULL};

	return w;
}

static struct word short_option(const struct cursor *c, const char *text)
{
	struct word w = {WORD_OPTION, find_letter(c, text[1]), text, text[2] != '\0' ? text + 2 : NULL};

	return w;
}

/* A value that looks like an option is a value forgotten; a lone hyphen is the standard input. */
static bool takes_as_value(const char *text)
{
	return !(text[0] == '-' && text[1] == '-' && text[2] != '\0');
}

static struct word next_word(struct cursor *c)
{
	struct word w = {WORD_END, NULL, NULL, NULL};

	if (c->at < c->argc && !c->options_ended && strcmp(c->argv[c->at], "--") == 0) {
		c->options_ended = true;
		c->at++;
	}
	if (c->at >= c->argc) {
		return w;
	}
	w.text = c->argv[c->at++];
	if (c->options_ended || w.text[0] != '-' || w.text[1] == '\0') {
		w.kind = WORD_OPERAND;
		return w;
	}
	w = w.text[1] == '-' ? long_option(c, w.text) : short_option(c, w.text);
	if (w.option == NULL) {
		w.kind = WORD_UNKNOWN;
	} else if (w.option->kind == CTL_FLAG) {
		w.kind = w.value != NULL ? WORD_VALUE_UNASKED : WORD_OPTION;
	} else if (w.value == NULL && c->at < c->argc && takes_as_value(c->argv[c->at])) {
		w.value = c->argv[c->at++];
	} else if (w.value == NULL) {
		w.kind = WORD_NO_VALUE;
	}
	return w;
}

static bool decimal_parse(const char *text, int64_t *thousandths)
{
	const char *dot = strchr(text, '.');
	size_t whole_len = dot != NULL ? (size_t)(dot - text) : strlen(text);
	uint64_t whole, part = 0;

	if (!mesh__str_u64(text, whole_len, INT64_MAX / 2000, &whole)) {
		return false;
	}
	if (dot != NULL) {
		size_t digits = strlen(dot + 1);
		if (digits > 3 || !mesh__str_u64(dot + 1, digits, 999, &part)) {
			return false;
		}
		for (; digits < 3; digits++) {
			part *= 10;
		}
	}
	*thousandths = (int64_t)(whole * 1000 + part);
	return true;
}

/* "5" for an integer, "0.5" for a decimal, "500ms" for a duration; out[32]. */
static void bound_text(const struct ctl_option *option, int64_t bound, char *out)
{
	if (option->kind == CTL_DURATION) {
		mesh__duration_format(bound, out);
	} else if (option->kind == CTL_DECIMAL && bound % 1000 != 0) {
		(void)snprintf(out, 32, "%lld.%03lld", (long long)(bound / 1000), (long long)(bound % 1000));
	} else {
		(void)snprintf(out, 32, "%lld", (long long)(option->kind == CTL_DECIMAL ? bound / 1000 : bound));
	}
}

static int read_number(const struct ctl_option *option, const char *text, int64_t *number, struct mesh__err *err)
{
	uint64_t digits;
	char low[32], high[32];

	if (option->kind == CTL_DURATION && !mesh__duration_parse(text, strlen(text), number)) {
		return mesh__fail(err, MESH_E_INVALID, "--%s \"%s\": not a duration; write for example 250ms, 15s or 2h",
			option->name, text);
	}
	if (option->kind == CTL_DECIMAL && !decimal_parse(text, number)) {
		return mesh__fail(err, MESH_E_INVALID, "--%s \"%s\": not a number with at most three decimals", option->name, text);
	}
	if (option->kind == CTL_INTEGER) {
		if (!mesh__str_u64(text, strlen(text), INT64_MAX, &digits)) {
			return mesh__fail(err, MESH_E_INVALID, "--%s \"%s\": not a whole number", option->name, text);
		}
		*number = (int64_t)digits;
	}
	if ((option->min != 0 || option->max != 0) && (*number < option->min || *number > option->max)) {
		bound_text(option, option->min, low);
		bound_text(option, option->max, high);
		return mesh__fail(err, MESH_E_INVALID, "--%s \"%s\": out of range; it goes from %s to %s", option->name, text, low, high);
	}
	return MESH_OK;
}

static int add_setting(struct ctl_args *out, const struct word *w, struct mesh__err *err)
{
	const struct ctl_option *option = w->option;
	struct ctl_setting *s;

	for (size_t i = 0; option->kind != CTL_LIST && option->kind != CTL_FLAG && i < out->n_settings; i++) {
		if (out->settings[i].option == option) {
			return mesh__fail(err, MESH_E_INVALID, "--%s is given twice", option->name);
		}
	}
	if (out->n_settings == CTL_SETTINGS_MAX) {
		return mesh__fail(err, MESH_E_INVALID, "more than %d options", CTL_SETTINGS_MAX);
	}
	s = &out->settings[out->n_settings];
	s->option = option;
	s->text = w->value;
	s->number = 0;
	out->n_settings++;
	return option->kind >= CTL_INTEGER ? read_number(option, w->value, &s->number, err) : MESH_OK;
}

static int add_operand(struct ctl_args *out, const char *text, struct mesh__err *err)
{
	if (out->n_operands == CTL_OPERANDS_MAX) {
		return mesh__fail(err, MESH_E_INVALID, "unexpected \"%s\": too many words", text);
	}
	out->operands[out->n_operands++] = text;
	return MESH_OK;
}

int ctl_args_unknown(const struct ctl_option *const *tables, size_t n_tables, const char *word, struct mesh__err *err)
{
	const char *names[NAMES_MAX], *near = NULL;
	size_t n = 0;
	char text[64];

	(void)snprintf(text, sizeof(text), "%s", word + strspn(word, "-"));
	text[strcspn(text, "=")] = '\0';
	for (size_t t = 0; t < n_tables; t++) {
		for (const struct ctl_option *o = tables[t]; o != NULL && o->name != NULL && n < NAMES_MAX; o++) {
			names[n++] = o->name;
		}
	}
	if (word[0] == '-' && word[1] == '-') {
		near = mesh__str_nearest(text, names, n);
	}
	if (near != NULL) {
		return mesh__fail(err, MESH_E_INVALID, "unknown option \"%s\"; did you mean --%s?", word, near);
	}
	return mesh__fail(err, MESH_E_INVALID, "unknown option \"%s\"", word);
}

int ctl_args_parse(const struct ctl_option *const *tables, size_t n_tables, int argc, char *const *argv,
	struct ctl_args *out, struct mesh__err *err)
{
	struct cursor c = {tables, n_tables, argc, 0, argv, false};

	memset(out, 0, sizeof(*out));
	for (;;) {
		struct word w = next_word(&c);
		int code = MESH_OK;
		switch (w.kind) {
		case WORD_END:
			return MESH_OK;
		case WORD_OPERAND:
			code = add_operand(out, w.text, err);
			break;
		case WORD_OPTION:
			code = add_setting(out, &w, err);
			break;
		case WORD_UNKNOWN:
			code = ctl_args_unknown(tables, n_tables, w.text, err);
			break;
		case WORD_NO_VALUE:
			code = mesh__fail(err, MESH_E_INVALID, "--%s needs a value: --%s %s", w.option->name, w.option->name,
				w.option->value);
			break;
		case WORD_VALUE_UNASKED:
			code = mesh__fail(err, MESH_E_INVALID, "\"%s\": --%s takes no value", w.text, w.option->name);
			break;
		}
		if (code != MESH_OK) {
			return code;
		}
	}
}

size_t ctl_args_operands(const struct ctl_option *const *tables, size_t n_tables, int argc, char *const *argv,
	const char **operands, size_t max, const char **unknown)
{
	struct cursor c = {tables, n_tables, argc, 0, argv, false};
	size_t n = 0;

	*unknown = NULL;
	for (;;) {
		struct word w = next_word(&c);
		if (w.kind == WORD_END) {
			return n;
		}
		if (w.kind == WORD_OPERAND && n < max) {
			operands[n++] = w.text;
		}
		if (w.kind == WORD_UNKNOWN && *unknown == NULL) {
			*unknown = w.text;
		}
	}
}

static const struct ctl_setting *find_setting(const struct ctl_args *args, const char *name, size_t index)
{
	for (size_t i = 0; i < args->n_settings; i++) {
		if (strcmp(args->settings[i].option->name, name) == 0 && index-- == 0) {
			return &args->settings[i];
		}
	}
	return NULL;
}

const char *ctl_nth(const struct ctl_args *args, const char *name, size_t index)
{
	const struct ctl_setting *s = find_setting(args, name, index);

	return s != NULL ? s->text : NULL;
}

const char *ctl_text(const struct ctl_args *args, const char *name)
{
	return ctl_nth(args, name, 0);
}

bool ctl_flag(const struct ctl_args *args, const char *name)
{
	return find_setting(args, name, 0) != NULL;
}

int64_t ctl_number(const struct ctl_args *args, const char *name, int64_t otherwise)
{
	const struct ctl_setting *s = find_setting(args, name, 0);

	return s != NULL ? s->number : otherwise;
}

const char *ctl_operand(const struct ctl_args *args, size_t index)
{
	return index < args->n_operands ? args->operands[index] : NULL;
}

void ctl_args_help(const struct ctl_option *table, struct mesh__buf *out)
{
	for (const struct ctl_option *o = table; o != NULL && o->name != NULL; o++) {
		char left[64];
		char letter[8] = "    ";
		if (o->letter != 0) {
			(void)snprintf(letter, sizeof(letter), "-%c, ", o->letter);
		}
		(void)snprintf(left, sizeof(left), "%s--%s%s%s", letter, o->name, o->value != NULL ? " " : "",
			o->value != NULL ? o->value : "");
		mesh__buf_printf(out, "  %-*s  %s%s\n", HELP_COLUMN, left, o->help, o->kind == CTL_LIST ? " (may be repeated)" : "");
	}
}
