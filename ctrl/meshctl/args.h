/*
 * The command line: options from tables, so that parsing, help and suggestions have one source. Options stand
 * anywhere; "--name value", "--name=value", "-x value" and "-xvalue" are the same; "--" ends
 * them. Pure functions; what they give points into argv.
 */
#ifndef MESHCTL_ARGS_H
#define MESHCTL_ARGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"

enum ctl_kind {
	CTL_FLAG,
	CTL_TEXT,
	CTL_LIST,     /* a text that may be given several times */
	CTL_INTEGER,
	CTL_DECIMAL,  /* up to three decimals; kept in thousandths */
	CTL_DURATION  /* kept in milliseconds */
};

/* A table of options ends with one that has no name. */
struct ctl_option {
	const char *name;  /* without its hyphens */
	char letter;       /* 0: none */
	enum ctl_kind kind;
	const char *value; /* what the help calls its value; NULL for a flag */
	const char *help;
	int64_t min, max;  /* of a number, in the unit that it is kept in; both 0: any */
};

enum { CTL_OPERANDS_MAX = 8, CTL_SETTINGS_MAX = 192 };

struct ctl_setting {
	const struct ctl_option *option;
	const char *text;
	int64_t number;
};

struct ctl_args {
	struct ctl_setting settings[CTL_SETTINGS_MAX];
	size_t n_settings;
	const char *operands[CTL_OPERANDS_MAX];
	size_t n_operands;
};

/*
 * Parses argv[0 .. argc) by `n_tables` tables. MESH_E_INVALID with what is wrong, and with a suggestion for an option
 * that is none of theirs.
 */
int ctl_args_parse(const struct ctl_option *const *tables, size_t n_tables, int argc, char *const *argv,
	struct ctl_args *out, struct mesh__err *err) MESH__MUST_USE;

/*
 * The first `max` operands alone, for finding the command before its own table is known: whatever is wrong is passed
 * over, the first unknown option told in *unknown (NULL: none). Returns their number.
 */
size_t ctl_args_operands(const struct ctl_option *const *tables, size_t n_tables, int argc, char *const *argv,
	const char **operands, size_t max, const char **unknown);

/* Fills in *err for an option that is in none of the tables. */
int ctl_args_unknown(const struct ctl_option *const *tables, size_t n_tables, const char *word, struct mesh__err *err);

/* The value of an option, or NULL, false or `otherwise` when it was not given. */
const char *ctl_text(const struct ctl_args *args, const char *name);
bool ctl_flag(const struct ctl_args *args, const char *name);
int64_t ctl_number(const struct ctl_args *args, const char *name, int64_t otherwise);

/* Value `index` (from 0) of a list, or NULL past the last. */
const char *ctl_nth(const struct ctl_args *args, const char *name, size_t index);

/* The operand, or NULL. */
const char *ctl_operand(const struct ctl_args *args, size_t index);

/* The help's lines for a table. */
void ctl_args_help(const struct ctl_option *table, struct mesh__buf *out);

#endif
