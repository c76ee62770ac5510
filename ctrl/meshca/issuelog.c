#include "meshca/issuelog.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/str.h"
#include "wire/json.h"
#include "wire/utc.h"

enum { LINE_MAX_BYTES = 4096 };

/* A crash or a full disk may have left half a line. */
static bool ends_torn(int fd, off_t size)
{
	char last;

	return size > 0 && (pread(fd, &last, 1, size - 1) != 1 || last != '\n');
}

int meshca_issuelog_open(const struct meshca_dir *dir, struct meshca_issuelog *out, struct mesh__err *err)
{
	struct stat st;

	out->torn = false;
	out->fd = openat(dir->fd, MESHCA_ISSUELOG_NAME, O_RDWR | O_APPEND | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600);
	if (out->fd < 0) {
		return mesh__fail(err, MESH_E_IO, "%s/%s: cannot be opened: %s; nothing is issued without it", dir->path, MESHCA_ISSUELOG_NAME, strerror(errno));
	}
	if (fstat(out->fd, &st) != 0 || !S_ISREG(st.st_mode)) {
		meshca_issuelog_close(out);
		return mesh__fail(err, MESH_E_DENIED, "%s/%s: is not a plain file; nothing is issued without a log on disk", dir->path, MESHCA_ISSUELOG_NAME);
	}
	out->torn = ends_torn(out->fd, st.st_size);
	if (fsync(dir->fd) != 0) { /* the name too must survive */
		meshca_issuelog_close(out);
		return mesh__fail(err, MESH_E_IO, "%s: %s", dir->path, strerror(errno));
	}
	return MESH_OK;
}

static void put_time(struct mesh__json_out *out, const char *key, int64_t ms)
{
	char text[MESH__UTC_TEXT];

	mesh__utc_format(ms, text);
	mesh__json_put_text(out, key, text);
}

static void write_line(struct mesh__buf *line, bool torn, const struct meshca_record *record)
{
	struct mesh__json_out out = {line, false};
	char pin[65];

	mesh__str_hex(record->pin, 32, pin);
	if (torn) {
		mesh__buf_chr(line, '\n');
	}
	mesh__json_open(&out, NULL, '{');
	put_time(&out, "time", record->time_ms);
	mesh__json_put_text(&out, "event", "issued");
	mesh__json_put_text(&out, "how", record->how);
	mesh__json_put_text(&out, "serial", record->serial);
	mesh__json_put_text(&out, "spiffeId", record->spiffe);
	mesh__json_put_text(&out, "keyPin", pin);
	put_time(&out, "notBefore", record->not_before_ms);
	put_time(&out, "notAfter", record->not_after_ms);
	mesh__json_put_text(&out, "issuerSerial", record->issuer_serial);
	mesh__json_close(&out, '}');
	mesh__buf_chr(line, '\n');
}

int meshca_issuelog_append(struct meshca_issuelog *log, const struct mesh__mem *mem, const struct meshca_record *record, struct mesh__err *err)
{
	struct mesh__buf line;
	int code;

	mesh__buf_init(&line, mem, LINE_MAX_BYTES);
	write_line(&line, log->torn, record);
	code = mesh__buf_error(&line, "a line of the issue log", err);
	if (code == MESH_OK) {
		log->torn = true; /* until all of it is known to be there */
		if (!meshca_write_all(log->fd, line.data, line.len) || fdatasync(log->fd) != 0) {
			code = mesh__fail(err, MESH_E_IO, "%s: cannot be written: %s; nothing is issued until it can", MESHCA_ISSUELOG_NAME, strerror(errno));
		} else {
			log->torn = false;
		}
	}
	mesh__buf_fini(&line);
	return code;
}

void meshca_issuelog_close(struct meshca_issuelog *log)
{
	if (log->fd >= 0) {
		(void)close(log->fd);
	}
	log->fd = -1;
}
