/* -H "name: value": a field of a request's header, as the command line says it. Pure. */
#ifndef MESHCTL_HEADER_H
#define MESHCTL_HEADER_H

#include <stdbool.h>
#include <stddef.h>

#include "meshctl/command.h"

enum { CTL_HEADER_NAME_MAX = 256 };

/* Its two parts: the name into name[CTL_HEADER_NAME_MAX], the value borrowed from `text`. False when it is none. */
bool ctl_header_split(const char *text, char *name, const char **value);

/* All of --header: CTL_USAGE, told, for what is no field, and for one that the library sets by itself. */
int ctl_headers_check(struct ctl *ctl) MESH__MUST_USE;

#endif
