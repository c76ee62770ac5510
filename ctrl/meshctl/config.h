/* Configuration documents from the command line to meshd: what apply, diff and validate have in common. */
#ifndef MESHCTL_CONFIG_H
#define MESHCTL_CONFIG_H

#include <stdint.h>

#include "meshctl/command.h"
#include "wire/json.h"

/* Reads the file of --file into `text`, which is to be freed in any case. CTL_OK, or the exit code, its message given. */
int ctl_config_read(struct ctl *ctl, struct mesh__buf *text) MESH__MUST_USE;

/* --dry-run and --if-generation, for the options of every command that writes; and as members of a request's body, or of its query. */
#define CTL_CONFIG_TERMS                                                                                               \
	{"dry-run", 0, CTL_FLAG, NULL, "let meshd say what would change, and change nothing", 0, 0},                   \
	{"if-generation", 0, CTL_INTEGER, "N", "only if what this would change has not been changed after generation N", 0, INT64_MAX}
void ctl_config_put_terms(struct ctl *ctl, struct mesh__json_out *json);
void ctl_config_query_terms(struct ctl *ctl, struct mesh__buf *target);

/* Warnings to stderr, and what was changed (or would be, with --dry-run) to stdout. */
void ctl_config_show(struct ctl *ctl, const struct mesh__json *answer);

#endif
