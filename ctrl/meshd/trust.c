#include "meshd/trust.h"

#include "base/mem.h"
#include "meshd/identity.h"

/* A revoked serial is told until its certificate has surely expired everywhere, clocks that are slow included. */
enum { SKEW_MS = 60 * 60 * 1000 };

struct serials {
	const struct mesh__mem *mem;
	char **list;
	size_t n, cap;
};

static bool add_serial(void *user, const struct meshd_cert *cert)
{
	struct serials *serials = user;

	if (serials->n == serials->cap) {
		size_t cap = serials->cap == 0 ? 16 : serials->cap * 2;
		char **grown = mesh__resize(serials->mem, serials->list, cap * sizeof(*grown));

		if (grown == NULL) {
			return false;
		}
		serials->list = grown;
		serials->cap = cap;
	}
	serials->list[serials->n] = mesh__strdup(serials->mem, cert->serial);
	return serials->list[serials->n++] != NULL;
}

static void free_serials(struct serials *serials)
{
	for (size_t i = 0; i < serials->n; i++) {
		mesh__free(serials->list[i]);
	}
	mesh__free(serials->list);
	*serials = (struct serials){.mem = serials->mem};
}

static int read_serials(struct meshd *meshd, struct serials *serials, struct mesh__err *err)
{
	int code;

	*serials = (struct serials){.mem = &meshd->env->mem};
	code = meshd_store_certs_revoked(meshd->store, mesh__wall_ms(meshd->env) - SKEW_MS, add_serial, serials, err);
	if (code != MESH_OK) {
		free_serials(serials);
	}
	return code;
}

int meshd_trust_reload(struct meshd *meshd, struct mesh__err *err)
{
	const struct meshd_ca_info *told = meshd_ca_told(meshd->ca);
	struct mesh__trust *trust = NULL;
	struct serials serials;
	uint64_t version = 0;
	int code;

	code = meshd_store_trust_version(meshd->store, &version, err);
	if (code != MESH_OK || (code = read_serials(meshd, &serials, err)) != MESH_OK) {
		return code;
	}
	code = mesh__trust_new(meshd->env, meshd->options->trust_domain, told->roots_pem, (const char *const *)serials.list, serials.n, &trust, err);
	free_serials(&serials);
	if (code != MESH_OK) {
		return code;
	}
	mesh__trust_unref(meshd->trust);
	meshd->trust = trust;
	meshd->trust_version = version;
	code = meshd_identity_apply(meshd, err);
	meshd_watch_trust_changed(meshd->watch, trust);
	return code;
}

int meshd_trust_record(struct meshd *meshd, struct mesh__record *record, struct mesh__err *err)
{
	struct serials serials;
	int code;

	*record = (struct mesh__record){.type = MESH__RECORD_TRUST, .version = meshd->trust_version};
	code = read_serials(meshd, &serials, err);
	if (code != MESH_OK) {
		return code;
	}
	record->revoked = serials.list;
	record->n_revoked = serials.n;
	record->roots_pem = mesh__strdup(&meshd->env->mem, mesh__trust_roots(meshd->trust));
	if (record->roots_pem == NULL) {
		mesh__record_fini(record);
		return mesh__fail_memory(err);
	}
	return MESH_OK;
}

int meshd_trust_revoke(struct meshd *meshd, const char *serial, const char *reason, struct mesh__err *err)
{
	int code = meshd_store_cert_revoke(meshd->store, serial, reason, mesh__wall_ms(meshd->env), err);

	if (code == MESH_OK) {
		code = meshd_trust_reload(meshd, err);
		meshd->trust_stale = code != MESH_OK;
	}
	return code;
}
