#include "identity/state_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/str.h"
#include "wire/name.h"

enum { MAX_SLOTS = 256, SNAPSHOT_MAX_BYTES = 64 * 1024 * 1024, DIGEST_LINE = 65 };

struct mesh__state_dir {
	const struct mesh__env *env;
	int lock_fd;
	char path[PATH_MAX - 64]; /* of the slot; room for the names below */
};

/* Whoever can write there can make this process somebody else, with roots of their own. A group may: volumes of orchestrators come so. */
static bool is_planted(const struct stat *st)
{
	return (st->st_mode & S_IWOTH) != 0 || (st->st_uid != geteuid() && st->st_uid != 0 && geteuid() != 0);
}

/* `own`: it is below the directory that the application named, so nobody else had a reason to make it. */
static int make_dir(const char *path, bool own, struct mesh__err *err)
{
	char text[128];
	struct stat st;

	if (mkdir(path, 0700) == 0) {
		return MESH_OK;
	}
	if (errno == EEXIST && stat(path, &st) == 0 && S_ISDIR(st.st_mode)) {
		return !own || !is_planted(&st) ? MESH_OK : mesh__fail(err, MESH_E_IO, "the state directory %s is another user's, or all may write there; remove it", path);
	}
	return mesh__fail(err, MESH_E_IO, "cannot make the state directory %s: %s", path, strerror_r(errno, text, sizeof(text)));
}

/* Takes the slot whose directory is state->path; MESH_E_EXISTS when another process has it. */
static int lock_slot(struct mesh__state_dir *state, struct mesh__err *err)
{
	char path[PATH_MAX], text[128];

	(void)snprintf(path, sizeof(path), "%s/lock", state->path);
	state->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (state->lock_fd < 0) {
		return mesh__fail(err, MESH_E_IO, "cannot open %s: %s", path, strerror_r(errno, text, sizeof(text)));
	}
	if (flock(state->lock_fd, LOCK_EX | LOCK_NB) == 0) {
		return MESH_OK;
	}
	(void)close(state->lock_fd);
	state->lock_fd = -1;
	return MESH_E_EXISTS;
}

static int take_slot(struct mesh__state_dir *state, const char *base, struct mesh__err *err)
{
	int code = MESH_E_EXISTS;

	for (int slot = 0; code == MESH_E_EXISTS && slot < MAX_SLOTS; slot++) {
		(void)snprintf(state->path, sizeof(state->path), "%s/%d", base, slot);
		code = make_dir(state->path, true, err);
		if (code == MESH_OK) {
			code = lock_slot(state, err);
		}
	}
	if (code == MESH_E_EXISTS) {
		return mesh__fail(err, MESH_E_OVERLOADED, "all %d slots of the state directory %s are in use", MAX_SLOTS, base);
	}
	return code;
}

int mesh__state_dir_open(const struct mesh__env *env, const char *dir, const char *ns, const char *service, struct mesh__state_dir **out, struct mesh__err *err)
{
	struct mesh__state_dir *state;
	char base[PATH_MAX - 80];
	int n, code;

	*out = NULL;
	n = snprintf(base, sizeof(base), "%s/%s.%s", dir, ns, service);
	if (n < 0 || (size_t)n >= sizeof(base)) {
		return mesh__fail(err, MESH_E_INVALID, "the state directory's path is too long: %s", dir);
	}
	state = mesh__alloc(&env->mem, sizeof(*state));
	if (state == NULL) {
		return mesh__fail_memory(err);
	}
	state->env = env;
	state->lock_fd = -1;
	code = make_dir(dir, false, err);
	if (code == MESH_OK) {
		code = make_dir(base, true, err);
	}
	if (code == MESH_OK) {
		code = take_slot(state, base, err);
	}
	if (code != MESH_OK) {
		mesh__free(state);
		return code;
	}
	*out = state;
	return MESH_OK;
}

void mesh__state_dir_close(struct mesh__state_dir *state)
{
	if (state != NULL) {
		(void)close(state->lock_fd);
		mesh__free(state);
	}
}

static void path_of(const struct mesh__state_dir *state, const char *name, char path[PATH_MAX])
{
	(void)snprintf(path, PATH_MAX, "%s/%s", state->path, name);
}

/* identity.pem holds key, chain and roots, each behind a line of its own that no PEM text has. */
static const char chain_mark[] = "# chain\n", roots_mark[] = "# roots\n";

/* Whatever is wrong with it, the remedy is one: to join anew. */
static int not_serving(const char *path, struct mesh__err *err)
{
	(void)mesh__wrap(err, "%s", path);
	if (err != NULL) {
		err->code = MESH_E_IDENTITY;
	}
	return MESH_E_IDENTITY;
}

int mesh__state_dir_load_svid(struct mesh__state_dir *state, struct mesh__svid **out, struct mesh__err *err)
{
	char path[PATH_MAX], *text = NULL, *chain, *roots;
	int code;

	*out = NULL;
	path_of(state, "identity.pem", path);
	code = mesh__file_read(&state->env->mem, path, 3 * MESH__PEM_MAX_BYTES, &text, NULL, err);
	if (code != MESH_OK) {
		return code;
	}
	chain = strstr(text, chain_mark);
	roots = chain == NULL ? NULL : strstr(chain, roots_mark);
	if (roots == NULL) {
		code = mesh__fail(err, MESH_E_IDENTITY, "%s is damaged; remove it to join anew", path);
	} else {
		*chain = *roots = '\0';
		code = mesh__svid_new(state->env, text, chain + sizeof(chain_mark) - 1, roots + sizeof(roots_mark) - 1, out, err);
		if (code != MESH_OK && code != MESH_E_NO_MEMORY) {
			code = not_serving(path, err);
		}
	}
	mesh__free_secret(text); /* the key stands first */
	return code;
}

int mesh__state_dir_save_svid(struct mesh__state_dir *state, const struct mesh__svid *svid, struct mesh__err *err)
{
	char path[PATH_MAX];
	struct mesh__buf text;
	int code;

	path_of(state, "identity.pem", path);
	mesh__buf_init(&text, &state->env->mem, 3 * MESH__PEM_MAX_BYTES);
	mesh__buf_printf(&text, "%s%s%s%s%s", svid->key_pem, chain_mark, svid->chain_pem, roots_mark, svid->roots_pem);
	code = mesh__buf_error(&text, "the identity", err);
	if (code == MESH_OK) {
		code = mesh__file_write(path, text.data, text.len, 0600, true, err);
	}
	mesh__buf_fini_secret(&text);
	return code;
}

int mesh__state_dir_instance(struct mesh__state_dir *state, char **out, struct mesh__err *err)
{
	char path[PATH_MAX], made[13];
	int code;

	path_of(state, "instance", path);
	code = mesh__file_read(&state->env->mem, path, MESH__LABEL_MAX, out, NULL, err);
	if (code == MESH_E_NO_MEMORY || (code == MESH_OK && mesh__label_valid(*out, strlen(*out)))) {
		return code; /* one that could not be read for want of memory is kept all the same */
	}
	if (code == MESH_OK) {
		mesh__free(*out); /* damaged: a new one is as good */
		*out = NULL;
	}
	mesh__random_hex(state->env, made, sizeof(made) - 1);
	code = mesh__file_write(path, made, strlen(made), 0600, true, err);
	if (code == MESH_OK) {
		*out = mesh__strdup(&state->env->mem, made);
		code = *out == NULL ? mesh__fail_memory(err) : MESH_OK;
	}
	return code;
}

/* The first line is the digest of the rest: a snapshot is not synced to the disk, so a power cut may tear it. */
int mesh__state_dir_load_snapshot(struct mesh__state_dir *state, char **out, size_t *len, struct mesh__err *err)
{
	char path[PATH_MAX], *text = NULL, hex[DIGEST_LINE];
	unsigned char digest[32];
	size_t n = 0;
	int code;

	*out = NULL;
	path_of(state, "snapshot", path);
	code = mesh__file_read(&state->env->mem, path, SNAPSHOT_MAX_BYTES, &text, &n, err);
	if (code != MESH_OK) {
		return code;
	}
	if (n > DIGEST_LINE) {
		mesh__sha256(text + DIGEST_LINE, n - DIGEST_LINE, digest);
		mesh__str_hex(digest, sizeof(digest), hex);
	}
	if (n <= DIGEST_LINE || memcmp(text, hex, DIGEST_LINE - 1) != 0) {
		mesh__free(text);
		return mesh__fail(err, MESH_E_INVALID, "%s is torn; it is not used", path);
	}
	*len = n - DIGEST_LINE;
	memmove(text, text + DIGEST_LINE, *len + 1);
	*out = text;
	return MESH_OK;
}

int mesh__state_dir_save_snapshot(struct mesh__state_dir *state, const char *text, size_t len, struct mesh__err *err)
{
	char path[PATH_MAX], hex[DIGEST_LINE];
	unsigned char digest[32];
	struct mesh__buf whole;
	int code;

	path_of(state, "snapshot", path);
	mesh__sha256(text, len, digest);
	mesh__str_hex(digest, sizeof(digest), hex);
	mesh__buf_init(&whole, &state->env->mem, SNAPSHOT_MAX_BYTES);
	mesh__buf_printf(&whole, "%s\n", hex);
	mesh__buf_add(&whole, text, len);
	code = mesh__buf_error(&whole, "the snapshot", err);
	if (code == MESH_OK) {
		code = mesh__file_write(path, whole.data, whole.len, 0600, false, err);
	}
	mesh__buf_fini(&whole);
	return code;
}

void mesh__state_dir_forget_snapshot(struct mesh__state_dir *state)
{
	char path[PATH_MAX];

	path_of(state, "snapshot", path);
	(void)unlink(path); /* one that stays is judged record by record */
}
