#include "meshca/command.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "io/pki.h"
#include "meshca/make.h"
#include "meshca/sign.h"
#include "wire/utc.h"

enum { TTL_MS = 48 * 3600 * 1000 };

#define TTL_MAX_MS ((int64_t)3650 * 24 * 3600 * 1000) /* by hand, the one who holds the key decides */

int meshca_run_init(const struct mesh__env *env, const struct meshca_options *options, struct mesh__err *err)
{
	const char *trust_domain = options->trust_domain != NULL ? options->trust_domain : "mesh.local";
	struct meshca_dir dir;
	int code = meshca_dir_open(options->dir, MESHCA_DIR_CREATE | MESHCA_DIR_PRIVATE, &dir, err);

	if (code == MESH_OK) {
		code = meshca_make_root(env, &dir, trust_domain, options->days != 0 ? (int)options->days : MESHCA_ROOT_DAYS, err);
	}
	meshca_dir_close(&dir);
	if (code == MESH_OK) {
		(void)fprintf(stderr, "made the root of %s in %s\nkeep %s/%s offline; next: meshca intermediate --dir %s --out DIR\n", trust_domain, options->dir, options->dir, MESHCA_ROOT_KEY, options->dir);
	}
	return code;
}

static int make_intermediate(const struct mesh__env *env, const struct meshca_options *options, const char *csr, struct mesh__err *err)
{
	struct meshca_dir root, out = {.fd = -1};
	int code = meshca_dir_open(options->dir, MESHCA_DIR_PRIVATE, &root, err);

	if (code == MESH_OK) {
		code = meshca_dir_open(options->out, MESHCA_DIR_CREATE | MESHCA_DIR_PRIVATE, &out, err);
	}
	if (code == MESH_OK) {
		code = meshca_make_issuer(env, &root, &out, csr, options->days != 0 ? (int)options->days : MESHCA_ISSUER_DAYS, err);
	}
	meshca_dir_close(&root);
	meshca_dir_close(&out);
	return code;
}

int meshca_run_intermediate(const struct mesh__env *env, const struct meshca_options *options, struct mesh__err *err)
{
	char *csr = NULL;
	int code = MESH_OK;

	if (options->csr != NULL) {
		code = meshca_file_read(&env->mem, options->csr, MESH__CSR_MAX_BYTES, &csr, err);
	}
	if (code == MESH_OK) {
		code = make_intermediate(env, options, csr, err);
	}
	mesh__free(csr);
	if (code == MESH_OK) {
		(void)fprintf(stderr, "made an intermediate in %s\ncopy %s, %s%s into the directory `ca` of meshd's data directory, then start meshd\n", options->out, MESHCA_ROOTS, MESHCA_ISSUER_CERT,
			options->csr == NULL ? " and " MESHCA_ISSUER_KEY : "");
	}
	return code;
}

int meshca_run_request(const struct mesh__env *env, const struct meshca_options *options, struct mesh__err *err)
{
	struct meshca_dir dir;
	int code = meshca_dir_open(options->out, MESHCA_DIR_CREATE | MESHCA_DIR_PRIVATE, &dir, err);

	if (code == MESH_OK) {
		code = meshca_make_request(env, &dir, err);
	}
	meshca_dir_close(&dir);
	if (code == MESH_OK) {
		(void)fprintf(stderr, "made %s and %s in %s\nnext, where the root is: meshca intermediate --dir ROOTDIR --csr %s --out DIR\n", MESHCA_ISSUER_KEY, MESHCA_ISSUER_CSR, options->out, MESHCA_ISSUER_CSR);
	}
	return code;
}

static int write_chain(const char *path, const char *chain, struct mesh__err *err)
{
	int fd = path == NULL ? STDOUT_FILENO : open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	int code = MESH_OK;

	if (fd < 0 || !meshca_write_all(fd, chain, strlen(chain)) || (path != NULL && close(fd) != 0)) {
		code = mesh__fail(err, MESH_E_IO, "%s: %s", path != NULL ? path : "standard output", strerror(errno));
	}
	return code;
}

/* Signs with a loaded CA. */
static int sign_one(struct meshca_signer *signer, const struct meshca_options *options, const char *csr, struct mesh__err *err)
{
	struct meshca_ask ask = {csr, options->service, options->ns, options->ttl_ms != 0 ? options->ttl_ms : TTL_MS};
	struct meshca_issued issued;
	char until[MESH__UTC_TEXT];
	int code;

	if (meshca_sign(signer, &ask, &issued, err) != MESHCA_ERROR_NONE) {
		return err->code;
	}
	code = write_chain(options->out, issued.chain_pem, err);
	if (code == MESH_OK) {
		mesh__utc_format(issued.leaf.not_after_ms, until);
		(void)fprintf(stderr, "signed %s, serial %s, until %s\n", issued.leaf.spiffe, issued.leaf.serial, until);
	}
	meshca_issued_fini(&issued);
	return code;
}

static int sign_in(const struct mesh__env *env, const struct meshca_dir *dir, const struct meshca_options *options, const char *csr, struct mesh__err *err)
{
	struct meshca_keystore store;
	struct meshca_issuelog log = {.fd = -1};
	struct meshca_signer signer = {.env = env, .store = &store, .log = &log, .ttl_max_ms = TTL_MAX_MS, .how = "hand"};
	int code = meshca_keystore_open(env, dir, NULL, false, &store, err);

	if (code != MESH_OK) {
		return code;
	}
	meshca_limit_init(&signer.limit, 1, mesh__mono_us(env));
	code = meshca_issuelog_open(dir, &log, err);
	if (code == MESH_OK) {
		code = sign_one(&signer, options, csr, err);
	}
	meshca_issuelog_close(&log);
	meshca_keystore_fini(&store);
	return code;
}

int meshca_run_sign(const struct mesh__env *env, const struct meshca_options *options, struct mesh__err *err)
{
	struct meshca_dir dir;
	char *csr = NULL;
	int code = meshca_dir_open(options->dir, MESHCA_DIR_PRIVATE, &dir, err);

	if (code == MESH_OK) {
		code = meshca_file_read(&env->mem, options->csr, MESH__CSR_MAX_BYTES, &csr, err);
	}
	if (code == MESH_OK) {
		code = sign_in(env, &dir, options, csr, err);
	}
	mesh__free(csr);
	meshca_dir_close(&dir);
	return code;
}
