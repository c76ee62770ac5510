/* Whom the mesh believes: the CA's roots and the serials that were revoked, kept in the store, pushed to every session, and held to by meshd's own listener. */
#ifndef MESHD_TRUST_H
#define MESHD_TRUST_H

#include "meshd/meshd.h"

/* Makes meshd->trust anew from the store and the CA's roots, and, where meshd serves already, turns its listener over and tells the sessions. */
int meshd_trust_reload(struct meshd *meshd, struct mesh__err *err) MESH__MUST_USE;

/* Fills in a TRUST record. Its texts are its own: free it with mesh__record_fini(). */
int meshd_trust_record(struct meshd *meshd, struct mesh__record *record, struct mesh__err *err) MESH__MUST_USE;

/* Revokes `serial` and its descendants, whose open sessions end. Errors: MESH_E_NOT_FOUND, the store's. */
int meshd_trust_revoke(struct meshd *meshd, const char *serial, const char *reason, struct mesh__err *err) MESH__MUST_USE;

#endif
