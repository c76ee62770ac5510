/* The command line: sub-commands and their options, read from one table. Pure. */
#ifndef MESHCA_OPTIONS_H
#define MESHCA_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

/* X(NAME, "text") */
#define MESHCA_COMMANDS(X)                                                                                             \
	X(INIT, "init")                                                                                                \
	X(INTERMEDIATE, "intermediate")                                                                                \
	X(REQUEST, "request")                                                                                          \
	X(SIGN, "sign")                                                                                                \
	X(SHOW, "show")                                                                                                \
	X(SERVE, "serve")

#define X(name, text) MESHCA_COMMAND_##name,
enum meshca_command { MESHCA_COMMANDS(X) MESHCA_N_COMMANDS };
#undef X

struct meshca_options {
	const char *dir, *out, *csr, *service, *ns, *trust_domain, *user, *log_level; /* NULL: not given */
	const char *file;                                                 /* what stands without an option: of show */
	bool json;
	bool help;
	int64_t days;                                                     /* 0: not given, and so on */
	int64_t ttl_ms, ttl_max_ms, rate;
	int64_t fd;                                                       /* -1: not given */
};

/* False when the text names no command. */
bool meshca_command_parse(const char *text, enum meshca_command *command);
const char *meshca_command_name(enum meshca_command command);

/* The command's name nearest to a mistyped one, or NULL. */
const char *meshca_command_nearest(const char *text);

/*
 * Reads what stands behind the command's name: options in any place, as `--name value` or `--name=value`. MESH_E_INVALID with what is wrong. With --help nothing more is checked.
 */
int meshca_options_parse(enum meshca_command command, int argc, char *const *argv, struct meshca_options *out, struct mesh__err *err) MESH__MUST_USE;

#endif
