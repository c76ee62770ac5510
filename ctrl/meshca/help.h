/* What --help teaches. */
#ifndef MESHCA_HELP_H
#define MESHCA_HELP_H

#include "meshca/options.h"

/* The program's own text, and each command's; static. */
const char *meshca_help_program(void);
const char *meshca_help_command(enum meshca_command command);

#endif
