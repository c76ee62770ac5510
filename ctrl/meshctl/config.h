/* Configuration documents from the command line to meshd: what apply, diff and validate have in common. */
#ifndef MESHCTL_CONFIG_H
#define MESHCTL_CONFIG_H

#include "meshctl/command.h"
#include "wire/json.h"

/* Reads the file of --file into `text`, which is to be freed in any case. CTL_OK, or the exit code, its message given. */
int ctl_config_read(struct ctl *ctl, struct mesh__buf *text) MESH__MUST_USE;

/* Sends it to meshd; *answer is to be freed. */
int ctl_config_post(struct ctl *ctl, const struct mesh__buf *text, bool dry_run, struct mesh__json **answer) MESH__MUST_USE;

#endif
