#include "meshd/audit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/str.h"
#include "wire/json.h"

enum {
	LINE_MAX_BYTES = 16 * 1024,
	TAIL_MAX_BYTES = 4 * 1024 * 1024,
	PAIRS_MAX = 12,
	VALUE_MAX_BYTES = 1024, /* of one pair: what strangers make long must not make the line too long to be written */
	REFUSALS_A_SECOND = 20
};

struct meshd_audit {
	const struct mesh__env *env;
	int fd;
	int64_t window_ms;    /* the second that `refusals` counts */
	int64_t refusals;
	uint64_t suppressed;  /* since the last line about a refusal */
};

/* A crash may have left half a line. What it was about was never answered: it goes, so that the log holds whole lines. */
static int cut_torn_line(int fd)
{
	char text[LINE_MAX_BYTES];
	off_t size = lseek(fd, 0, SEEK_END);
	off_t start = size > (off_t)sizeof(text) ? size - (off_t)sizeof(text) : 0;
	ssize_t n = size > 0 ? pread(fd, text, (size_t)(size - start), start) : 0;
	const char *end;

	if (size < 0 || n < 0) {
		return -1;
	}
	if (n == 0 || text[n - 1] == '\n') {
		return 0;
	}
	end = memrchr(text, '\n', (size_t)n);
	if (end == NULL && start > 0) {
		return write(fd, "\n", 1) == 1 ? 0 : -1; /* no line of ours is so long: it stays, on its own */
	}
	return ftruncate(fd, end == NULL ? 0 : start + (end - text) + 1);
}

int meshd_audit_open(const struct mesh__env *env, const char *path, struct meshd_audit **out, struct mesh__err *err)
{
	struct meshd_audit *audit = mesh__alloc(&env->mem, sizeof(*audit));

	*out = NULL;
	if (audit == NULL) {
		return mesh__fail_memory(err);
	}
	audit->env = env;
	audit->fd = open(path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (audit->fd < 0 || cut_torn_line(audit->fd) != 0) {
		(void)mesh__fail(err, MESH_E_IO, "the audit log %s cannot be %s: %s", path, audit->fd < 0 ? "opened" : "continued", strerror(errno));
		if (audit->fd >= 0) {
			(void)close(audit->fd);
		}
		mesh__free(audit);
		return MESH_E_IO;
	}
	*out = audit;
	return MESH_OK;
}

void meshd_audit_close(struct meshd_audit *audit)
{
	if (audit != NULL) {
		(void)close(audit->fd);
		mesh__free(audit);
	}
}

static void put_time(const struct meshd_audit *audit, struct mesh__json_out *json)
{
	int64_t wall_ms = mesh__wall_ms(audit->env);
	time_t seconds = (time_t)(wall_ms / 1000);
	char stamp[32], text[48];
	struct tm tm;

	(void)gmtime_r(&seconds, &tm);
	(void)strftime(stamp, sizeof(stamp), "%Y-%m-%dT%H:%M:%S", &tm);
	(void)snprintf(text, sizeof(text), "%s.%03dZ", stamp, (int)(wall_ms % 1000));
	mesh__json_put_text(json, "time", text);
}

static void put_value(struct mesh__json_out *json, const char *key, const char *value)
{
	char cut[VALUE_MAX_BYTES + 4];

	if (value != NULL && strlen(value) > VALUE_MAX_BYTES) {
		(void)snprintf(cut, sizeof(cut), "%.*s...", VALUE_MAX_BYTES, value);
		value = cut;
	}
	mesh__json_put_text(json, key, value);
}

static void compose(const struct meshd_audit *audit, struct mesh__buf *line, const char *event, const char *result, const char *reason, va_list pairs)
{
	struct mesh__json_out json = {.buf = line};

	mesh__json_open(&json, NULL, '{');
	put_time(audit, &json);
	mesh__json_put_text(&json, "event", event);
	mesh__json_put_text(&json, "result", result);
	put_value(&json, "reason", reason);
	for (int i = 0; i < PAIRS_MAX; i++) {
		const char *key = va_arg(pairs, const char *);

		if (key == NULL) {
			break;
		}
		put_value(&json, key, va_arg(pairs, const char *));
	}
	if (audit->suppressed > 0 && strcmp(result, "refused") == 0) {
		mesh__json_put_u64(&json, "suppressed", audit->suppressed);
	}
	mesh__json_close(&json, '}');
	mesh__buf_chr(line, '\n');
}

/* One write a line. A line that went in only in part is cut off again: the log holds whole lines. */
static int append(struct meshd_audit *audit, const struct mesh__buf *line, struct mesh__err *err)
{
	off_t before = lseek(audit->fd, 0, SEEK_END);
	ssize_t n;

	if (line->error != MESH_OK) {
		return mesh__buf_error(line, "an audit line", err);
	}
	do {
		n = write(audit->fd, line->data, line->len);
	} while (n < 0 && errno == EINTR);
	if (n != (ssize_t)line->len) {
		int number = n < 0 ? errno : ENOSPC;

		if (n > 0 && before >= 0 && ftruncate(audit->fd, before) != 0) {
			number = errno;
		}
		return mesh__fail(err, MESH_E_IO, "the audit log cannot be written: %s", strerror(number));
	}
	return MESH_OK;
}

static int append_and_sync(struct meshd_audit *audit, const struct mesh__buf *line, struct mesh__err *err)
{
	int code = append(audit, line, err);

	if (code == MESH_OK && fdatasync(audit->fd) != 0) {
		code = mesh__fail(err, MESH_E_IO, "the audit log cannot be synced: %s", strerror(errno));
	}
	return code;
}

typedef int (*append_fn)(struct meshd_audit *audit, const struct mesh__buf *line, struct mesh__err *err);

static int allowed(struct meshd_audit *audit, append_fn append_line, struct mesh__err *err, const char *event, const char *reason, va_list pairs)
{
	struct mesh__buf line;
	int code;

	mesh__buf_init(&line, &audit->env->mem, LINE_MAX_BYTES);
	compose(audit, &line, event, "allowed", reason, pairs);
	code = append_line(audit, &line, err);
	mesh__buf_fini(&line);
	if (code != MESH_OK && err != NULL) {
		mesh__log(audit->env, MESH__LOG_ERROR, "audit failed", "about", event, "reason", err->message, (char *)NULL);
	}
	return code;
}

int meshd_audit_allowed(struct meshd_audit *audit, struct mesh__err *err, const char *event, const char *reason, ...)
{
	va_list pairs;
	int code;

	va_start(pairs, reason);
	code = allowed(audit, append_and_sync, err, event, reason, pairs);
	va_end(pairs);
	return code;
}

int meshd_audit_first(struct meshd_audit *audit, struct mesh__err *err, const char *event, const char *reason, ...)
{
	va_list pairs;
	int code;

	va_start(pairs, reason);
	code = allowed(audit, append, err, event, reason, pairs);
	va_end(pairs);
	return code;
}

static bool over_the_rate(struct meshd_audit *audit)
{
	int64_t now_ms = mesh__mono_ms(audit->env);

	if (now_ms - audit->window_ms >= 1000) {
		audit->window_ms = now_ms;
		audit->refusals = 0;
	}
	return ++audit->refusals > REFUSALS_A_SECOND;
}

void meshd_audit_refused(struct meshd_audit *audit, const char *event, const char *reason, ...)
{
	struct mesh__err why = MESH__NO_ERR;
	struct mesh__buf line;
	va_list pairs;

	if (over_the_rate(audit)) {
		audit->suppressed++;
		return;
	}
	mesh__buf_init(&line, &audit->env->mem, LINE_MAX_BYTES);
	va_start(pairs, reason);
	compose(audit, &line, event, "refused", reason, pairs);
	va_end(pairs);
	mesh__log(audit->env, MESH__LOG_WARN, "refused", "about", event, "reason", reason, (char *)NULL);
	if (append_and_sync(audit, &line, &why) == MESH_OK) {
		audit->suppressed = 0;
	} else {
		mesh__log(audit->env, MESH__LOG_ERROR, "audit failed", "about", event, "reason", why.message, (char *)NULL);
	}
	mesh__buf_fini(&line);
}

/* Where the last `limit` lines of text[len] begin. */
static size_t last_lines(const char *text, size_t len, int64_t limit)
{
	size_t at = len;

	for (int64_t seen = 0; at > 0; at--) {
		if (text[at - 1] == '\n' && at != len && ++seen >= limit) {
			break;
		}
	}
	return at;
}

int meshd_audit_tail(struct meshd_audit *audit, int64_t limit, struct mesh__buf *out, struct mesh__err *err)
{
	off_t size = lseek(audit->fd, 0, SEEK_END);
	size_t want = size > TAIL_MAX_BYTES ? TAIL_MAX_BYTES : (size_t)(size > 0 ? size : 0);
	char *text = mesh__alloc(&audit->env->mem, want + 1);
	const char *line, *end;
	ssize_t n;
	int code = MESH_OK;

	if (text == NULL) {
		return mesh__fail_memory(err);
	}
	n = pread(audit->fd, text, want, size < 0 ? 0 : size - (off_t)want);
	if (size < 0 || n < 0) {
		code = mesh__fail(err, MESH_E_IO, "the audit log cannot be read: %s", strerror(errno));
		goto out;
	}
	/* The lines are JSON already. A first one that was cut by the window is left out. */
	line = text + last_lines(text, (size_t)n, limit);
	mesh__buf_chr(out, '[');
	for (bool first = true; (end = strchr(line, '\n')) != NULL; line = end + 1) {
		if (line[0] == '{' && end[-1] == '}') {
			mesh__buf_str(out, first ? "" : ",\n ");
			mesh__buf_add(out, line, (size_t)(end - line));
			first = false;
		}
	}
	mesh__buf_str(out, "]\n");
	code = mesh__buf_error(out, "the audit log's tail", err);
out:
	mesh__free(text);
	return code;
}
