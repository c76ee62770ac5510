#include "http/curl_slot.h"

#include <curl/curl.h>

static void tell_dialled(void *arg)
{
	mesh__pool_dialled(arg);
}

int mesh__slot_easy(struct mesh__pool *pool, struct mesh__easy *easy, struct mesh__conns *conns, struct mesh__err *err)
{
	const struct mesh__target *target = &pool->options.target;
	struct mesh__creds *creds = pool->options.creds;
	struct mesh__easy_peer peer = {
		.host = target->host,
		.connect_host = target->address.ip,
		.connect_port = target->address.port,
		.unix_path = target->unix_path,
		.expect = target->spiffe,
		.trust = creds != NULL ? mesh__creds_trust(creds) : NULL,
		.creds = creds,
		.plaintext = target->insecure_plaintext,
		.proto = pool->options.proto,
	};
	int code = mesh__pool_share(pool, &peer.share, err);

	if (code == MESH_OK) {
		code = mesh__easy_init(easy, pool->env, &peer, conns, err);
	}
	mesh__share_unref(peer.share);
	if (code == MESH_OK) {
		/* An endpoint's address needs no resolving: else libcurl looks after each exchange through all places of its cache for one that has expired. */
		(void)curl_easy_setopt(easy->curl, CURLOPT_DNS_CACHE_TIMEOUT, -1L);
	}
	return code;
}

int mesh__slot_new(struct mesh__pool *pool, struct mesh__slot **out, struct mesh__err *err)
{
	struct mesh__slot *slot = mesh__alloc(&pool->env->mem, sizeof(*slot));
	int code;

	if (slot == NULL) {
		return mesh__fail_memory(err);
	}
	slot->pool = pool;
	slot->wakeup = (struct mesh__wakeup){{-1, -1}};
	mesh__conns_init(&slot->conns, pool->env);
	code = mesh__slot_easy(pool, &slot->easy, &slot->conns, err);
	if (code == MESH_OK) {
		slot->easy.events = (struct mesh__easy_events){.connected = tell_dialled, .arg = slot};
		slot->multi = mesh__wakeup_multi(&slot->wakeup);
		/* Without the descriptors for it libcurl 7.88 makes a multi all the same, one that cannot be woken: an exchange on it could not be cancelled. */
		if (slot->multi == NULL || curl_multi_setopt(slot->multi, CURLMOPT_MAXCONNECTS, 1L) != CURLM_OK || curl_multi_wakeup(slot->multi) != CURLM_OK) {
			code = mesh__fail_at(err, MESH__ORIGIN_LOCAL, MESH_E_CONNECT, "%s: libcurl makes no handle: out of memory or of open files (raise ulimit -n)", slot->easy.where);
		}
	}
	if (code != MESH_OK) {
		mesh__slot_free(slot);
		return code;
	}
	*out = slot;
	return MESH_OK;
}

void mesh__slot_free(struct mesh__slot *slot)
{
	/* The multi last: it closes the connection, and for that libcurl 7.88 wants no easy handle left on it. */
	mesh__easy_fini(&slot->easy);
	if (slot->multi != NULL) {
		(void)curl_multi_cleanup(slot->multi);
	}
	mesh__conns_fini(&slot->conns);
	mesh__free(slot);
}
