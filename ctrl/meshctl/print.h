/* What goes to stdout: tables for people, JSON for programs. Control characters from elsewhere never reach the terminal. */
#ifndef MESHCTL_PRINT_H
#define MESHCTL_PRINT_H

#include <stdint.h>

#include "base/buf.h"
#include "meshctl/command.h"
#include "wire/json.h"

/* A table with a head, filled cell by cell, row after row. */
struct ctl_table {
	const char *const *heads;
	size_t n_columns;
	struct mesh__buf cells; /* each NUL-terminated */
	size_t n_cells;
};

void ctl_table_init(struct ctl_table *table, const struct mesh__mem *mem, const char *const *heads, size_t n_columns);
void ctl_table_fini(struct ctl_table *table);

/* NULL and "" show as "-". */
void ctl_table_cell(struct ctl_table *table, const char *text);
void ctl_table_number(struct ctl_table *table, int64_t number);

/*
 * The member `key` of a JSON object, as it is; as a duration ("15s") when it is milliseconds; as a time when it is
 * milliseconds since 1970.
 */
void ctl_table_json(struct ctl_table *table, const struct mesh__json *object, const char *key);
void ctl_table_duration(struct ctl_table *table, const struct mesh__json *object, const char *key);
void ctl_table_time(struct ctl_table *table, const struct mesh__json *object, const char *key);

/* Columns aligned, two spaces between them, nothing behind the last. */
void ctl_table_print(const struct ctl_table *table, struct mesh__buf *out);

/* "service.namespace", or "service" alone in namespace "default". */
void ctl_table_service(struct ctl_table *table, const struct mesh__json *object);

/* One value, compact, with a line end; the same indented by two spaces a level, without one. */
void ctl_print_json(struct mesh__buf *out, const struct mesh__json *value);
void ctl_print_pretty(struct mesh__buf *out, const struct mesh__json *value, int depth);

/* "2026-01-31T12:00:00Z" of milliseconds since 1970, into out[CTL_TIME_TEXT]. */
enum { CTL_TIME_TEXT = 40 };
void ctl_time_format(int64_t ms, char *out);

/* A length of time for a person, in its two largest units ("47h 12m"), into out[CTL_SPAN_TEXT]. */
enum { CTL_SPAN_TEXT = 40 };
void ctl_span_format(int64_t ms, char *out);

#endif
