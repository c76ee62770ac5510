#include "meshctl/print.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/str.h"

enum { TABLE_MAX_BYTES = 64 * 1024 * 1024, COLUMNS_MAX = 16, NUMBER_TEXT = 32 };

void ctl_table_init(struct ctl_table *table, const struct mesh__mem *mem, const char *const *heads, size_t n_columns)
{
	table->heads = heads;
	table->n_columns = n_columns;
	table->n_cells = 0;
	mesh__buf_init(&table->cells, mem, TABLE_MAX_BYTES);
}

void ctl_table_fini(struct ctl_table *table)
{
	mesh__buf_fini(&table->cells);
}

void ctl_table_cell(struct ctl_table *table, const char *text)
{
	for (const char *p = text != NULL && text[0] != '\0' ? text : "-"; *p != '\0'; p++) {
		unsigned char c = (unsigned char)*p;
		mesh__buf_chr(&table->cells, c < 0x20 || c == 0x7f ? '?' : *p);
	}
	mesh__buf_chr(&table->cells, '\0');
	table->n_cells++;
}

void ctl_table_number(struct ctl_table *table, int64_t number)
{
	char text[NUMBER_TEXT];

	(void)snprintf(text, sizeof(text), "%lld", (long long)number);
	ctl_table_cell(table, text);
}

void ctl_table_json(struct ctl_table *table, const struct mesh__json *object, const char *key)
{
	const struct mesh__json *value = mesh__json_get(object, key);
	int64_t number;
	bool truth;

	if (mesh__json_text(value) != NULL) {
		ctl_table_cell(table, mesh__json_text(value));
	} else if (mesh__json_i64(value, INT64_MIN, INT64_MAX, &number)) {
		ctl_table_number(table, number);
	} else if (mesh__json_bool(value, &truth)) {
		ctl_table_cell(table, truth ? "yes" : "no");
	} else {
		ctl_table_cell(table, NULL);
	}
}

void ctl_table_duration(struct ctl_table *table, const struct mesh__json *object, const char *key)
{
	int64_t ms;
	char text[NUMBER_TEXT];

	if (mesh__json_i64(mesh__json_get(object, key), 0, INT64_MAX, &ms)) {
		mesh__duration_format(ms, text);
		ctl_table_cell(table, text);
	} else {
		ctl_table_cell(table, NULL);
	}
}

void ctl_table_time(struct ctl_table *table, const struct mesh__json *object, const char *key)
{
	int64_t ms;
	char text[CTL_TIME_TEXT];

	if (mesh__json_i64(mesh__json_get(object, key), 0, INT64_MAX, &ms)) {
		ctl_time_format(ms, text);
		ctl_table_cell(table, text);
	} else {
		ctl_table_cell(table, NULL);
	}
}

void ctl_table_service(struct ctl_table *table, const struct mesh__json *object)
{
	const char *service = mesh__json_text(mesh__json_get(object, "service"));
	const char *ns = mesh__json_text(mesh__json_get(object, "namespace"));
	char text[160];

	if (service == NULL || ns == NULL || strcmp(ns, "default") == 0) {
		ctl_table_cell(table, service);
		return;
	}
	(void)snprintf(text, sizeof(text), "%s.%s", service, ns);
	ctl_table_cell(table, text);
}

static void print_row(const char *const *cells, const size_t *widths, size_t n, struct mesh__buf *out)
{
	for (size_t i = 0; i < n; i++) {
		if (i + 1 == n) {
			mesh__buf_printf(out, "%s\n", cells[i]);
		} else {
			mesh__buf_printf(out, "%-*s  ", (int)widths[i], cells[i]);
		}
	}
}

void ctl_table_print(const struct ctl_table *table, struct mesh__buf *out)
{
	size_t widths[COLUMNS_MAX] = {0}, n = table->n_columns < COLUMNS_MAX ? table->n_columns : COLUMNS_MAX;
	const char *row[COLUMNS_MAX] = {0}, *cell = table->cells.data;

	if (table->cells.error != MESH_OK) {
		out->error = table->cells.error;
		return;
	}
	for (size_t i = 0; i < n; i++) {
		widths[i] = strlen(table->heads[i]);
	}
	for (size_t i = 0; i < table->n_cells; i++, cell += strlen(cell) + 1) {
		size_t len = strlen(cell);
		widths[i % n] = len > widths[i % n] ? len : widths[i % n];
	}
	print_row(table->heads, widths, n, out);
	cell = table->cells.data;
	for (size_t i = 0; i < table->n_cells; i++, cell += strlen(cell) + 1) {
		row[i % n] = cell;
		if (i % n == n - 1) {
			print_row(row, widths, n, out);
		}
	}
}

void ctl_print_json(struct mesh__buf *out, const struct mesh__json *value)
{
	struct mesh__json_out json = {out, false};

	mesh__json_put_value(&json, NULL, value);
	mesh__buf_chr(out, '\n');
}

static void indent(struct mesh__buf *out, int depth)
{
	mesh__buf_printf(out, "\n%*s", 2 * depth, "");
}

/* The depth is the parser's: at most 64. */
void ctl_print_pretty(struct mesh__buf *out, const struct mesh__json *value, int depth)
{
	bool object = mesh__json_is_object(value);
	struct mesh__json_out scalar = {out, false};
	const char *comma = "";

	if ((!object && !mesh__json_is_array(value)) || mesh__json_first(value) == NULL) {
		mesh__json_put_value(&scalar, NULL, value);
		return;
	}
	mesh__buf_chr(out, object ? '{' : '[');
	for (const struct mesh__json *m = mesh__json_first(value); m != NULL; m = mesh__json_next(m)) {
		mesh__buf_str(out, comma);
		indent(out, depth + 1);
		if (object) {
			mesh__str_json(out, mesh__json_key(m));
			mesh__buf_str(out, ": ");
		}
		ctl_print_pretty(out, m, depth + 1);
		comma = ",";
	}
	indent(out, depth);
	mesh__buf_chr(out, object ? '}' : ']');
}

void ctl_time_format(int64_t ms, char *out)
{
	time_t seconds = (time_t)(ms / 1000);
	struct tm tm;

	if (gmtime_r(&seconds, &tm) == NULL || strftime(out, CTL_TIME_TEXT, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0) {
		(void)snprintf(out, CTL_TIME_TEXT, "%lld ms", (long long)ms);
	}
}

void ctl_span_format(int64_t ms, char *out)
{
	long long s = (long long)(ms / 1000);

	if (s >= 86400) {
		(void)snprintf(out, CTL_SPAN_TEXT, "%lldd %lldh", s / 86400, s / 3600 % 24);
	} else if (s >= 3600) {
		(void)snprintf(out, CTL_SPAN_TEXT, "%lldh %lldm", s / 3600, s / 60 % 60);
	} else if (s >= 60) {
		(void)snprintf(out, CTL_SPAN_TEXT, "%lldm %llds", s / 60, s % 60);
	} else {
		(void)snprintf(out, CTL_SPAN_TEXT, "%llds", s);
	}
}
