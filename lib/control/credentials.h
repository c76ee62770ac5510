/*
 * The credentials in force: an SVID, and the trust that meshd told of last (before that, the roots that came with the SVID). Each change of either makes the next generation. Control loop only.
 */
#ifndef MESH__CONTROL_CREDENTIALS_H
#define MESH__CONTROL_CREDENTIALS_H

#include "http/client.h"
#include "identity/svid.h"
#include "io/trust.h"
#include "wire/message.h"

struct mesh__credentials {
	const struct mesh__env *env;
	struct mesh__svid *svid;       /* NULL before the first */
	char *roots_pem;               /* as told; NULL: the SVID's */
	char **revoked;
	size_t n_revoked;
	uint64_t trust_version;
	uint64_t generation;
	/* Of the newest generation; NULL before the first. */
	struct mesh__creds *creds;
	struct mesh__trust *trust;
};

void mesh__credentials_init(struct mesh__credentials *c, const struct mesh__env *env);
void mesh__credentials_fini(struct mesh__credentials *c);

/* Takes a new SVID (a reference of its own). Trust told of before that does not cover it is forgotten. */
void mesh__credentials_svid(struct mesh__credentials *c, struct mesh__svid *svid);

/* Takes a TRUST record; *changed says whether it differs from what was in force. MESH_E_INVALID (no roots, or ones that are none), MESH_E_IDENTITY (roots that the own certificate is not under), MESH_E_NO_MEMORY: the last ones stay. */
int mesh__credentials_trust(struct mesh__credentials *c, const struct mesh__record *record, bool *changed, struct mesh__err *err) MESH__MUST_USE;

/* Makes the next generation of what was taken. On failure the last one stays. */
int mesh__credentials_renew(struct mesh__credentials *c, struct mesh__err *err) MESH__MUST_USE;

/* The TRUST record that would bring this trust; false when meshd has told of none. The strings are borrowed. */
bool mesh__credentials_record(const struct mesh__credentials *c, struct mesh__record *out);

#endif
