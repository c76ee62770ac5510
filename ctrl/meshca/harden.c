#include "meshca/harden.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/str.h"
#include "meshca/issuelog.h"
#include "meshca/make.h"

static const char default_user[] = "meshca";

/* Kernels before 5.9 have no close_range: one by one, then, up to the limit. */
static void close_from_to(unsigned first, unsigned last)
{
	struct rlimit limit;

	if (first > last || close_range(first, last, 0) == 0) {
		return;
	}
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur <= last) {
		last = (unsigned)limit.rlim_cur;
	}
	for (unsigned fd = first; fd <= last; fd++) {
		(void)close((int)fd);
	}
}

int meshca_harden_descriptors(int keep, struct mesh__err *err)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (null < 0) {
		return mesh__fail(err, MESH_E_IO, "/dev/null: %s", strerror(errno));
	}
	for (int fd = 0; fd <= 2; fd++) {
		/* A closed standard error would become the next file that is opened, and get the log's lines. */
		bool wanted = fd == keep || (fd == STDERR_FILENO && fcntl(fd, F_GETFD) >= 0);
		if (!wanted && fd != null && dup2(null, fd) < 0) {
			return mesh__fail(err, MESH_E_IO, "/dev/null over descriptor %d: %s", fd, strerror(errno));
		}
	}
	if (keep > 2) {
		close_from_to(3, (unsigned)keep - 1);
		close_from_to((unsigned)keep + 1, ~0U);
	} else {
		close_from_to(3, ~0U);
	}
	return MESH_OK;
}

int meshca_harden_process(struct mesh__err *err)
{
	struct rlimit none = {0, 0};

	(void)signal(SIGXFSZ, SIG_IGN);
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0 || setrlimit(RLIMIT_CORE, &none) != 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
		return mesh__fail(err, MESH_E_IO, "cannot make this process undumpable: %s", strerror(errno));
	}
	return MESH_OK;
}

static int find_user(const char *user, struct meshca_owner *out, struct mesh__err *err)
{
	struct passwd *entry = getpwnam(user);
	uint64_t number;

	if (entry == NULL && mesh__str_u64(user, strlen(user), 0xfffffffeU, &number)) {
		entry = getpwuid((uid_t)number);
		out->uid = (uid_t)number;
		out->gid = (gid_t)number;
	} else if (entry == NULL) {
		return mesh__fail(err, MESH_E_INVALID, "--user %s: no such user; give a user's name or a number", user);
	}
	if (entry != NULL) {
		out->uid = entry->pw_uid;
		out->gid = entry->pw_gid;
	}
	return MESH_OK;
}

int meshca_owner_choose(const char *user, struct meshca_owner *out, struct mesh__err *err)
{
	struct mesh__err ignored;
	int code = MESH_OK;

	*out = (struct meshca_owner){false, geteuid(), getegid()};
	if (user != NULL) {
		code = find_user(user, out, err);
	} else if (geteuid() == 0 && find_user(default_user, out, &ignored) != MESH_OK) {
		out->uid = MESHCA_DEFAULT_UID;
		out->gid = MESHCA_DEFAULT_UID;
	}
	out->change = out->uid != geteuid();
	if (code == MESH_OK && out->change && geteuid() != 0) {
		code = mesh__fail(err, MESH_E_DENIED, "--user %s: only root can become another user; this is uid %u", user, (unsigned)geteuid());
	}
	return code;
}

static int drop(const struct meshca_owner *owner, struct mesh__err *err)
{
	if (setgroups(0, NULL) != 0 || setresgid(owner->gid, owner->gid, owner->gid) != 0 || setresuid(owner->uid, owner->uid, owner->uid) != 0) {
		return mesh__fail(err, MESH_E_DENIED, "cannot become uid %u: %s; where that uid does not exist (a container with few), name another with meshd --ca-user", (unsigned)owner->uid, strerror(errno));
	}
	if (owner->uid != 0 && setresuid(0, 0, 0) == 0) {
		return mesh__fail(err, MESH_E_INTERNAL, "root's rights came back after they were given up");
	}
	/* A change of uid resets what prctl set before. */
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) {
		return mesh__fail(err, MESH_E_IO, "cannot make this process undumpable: %s", strerror(errno));
	}
	return MESH_OK;
}

int meshca_owner_become(const struct meshca_owner *owner, const struct meshca_dir *dir, struct mesh__err *err)
{
	static const char *const names[] = {
		"lock", MESHCA_ROOT_CERT, MESHCA_ROOT_KEY, MESHCA_ROOTS, MESHCA_ISSUER_CERT, MESHCA_ISSUER_KEY, MESHCA_ISSUER_CSR, MESHCA_ISSUELOG_NAME,
	};
	int code;

	if (geteuid() != 0) {
		return MESH_OK;
	}
	code = meshca_dir_chown(dir, names, MESH__COUNT(names), owner->uid, owner->gid, err);
	if (code == MESH_OK && owner->change) {
		code = drop(owner, err);
	}
	return code;
}
