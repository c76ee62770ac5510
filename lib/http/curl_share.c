#include "http/curl_share.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "base/mem.h"
#include "http/curl_peer.h"
#include "http/curl_peer_sessions.h"

enum {
	LEAVES = 4,         /* one peer has one leaf at a time, and a new one a few times a day */
	MARGIN_MS = 10000   /* a dial that begins now is done by then */
};

struct leaf {
	unsigned char sha256[32];
	int64_t not_after_ms; /* 0: none */
};

struct mesh__share {
	_Atomic int refs;
	_Atomic bool spoiled;
	const struct mesh__env *env;
	struct mesh__curl_sessions *sessions;
	pthread_mutex_t leaves_mu; /* guards what follows */
	struct leaf leaves[LEAVES];
	unsigned next_leaf;
};

/* ---- life ---- */

int mesh__share_new(const struct mesh__env *env, struct mesh__share **out, struct mesh__err *err)
{
	struct mesh__share *share;

	*out = NULL;
	if (!mesh__curl_peer_readable()) {
		return MESH_OK;
	}
	share = mesh__alloc(&env->mem, sizeof(*share));
	if (share == NULL) {
		return mesh__fail_memory(err);
	}
	atomic_init(&share->refs, 1);
	atomic_init(&share->spoiled, false);
	share->env = env;
	(void)pthread_mutex_init(&share->leaves_mu, NULL);
	share->sessions = mesh__curl_sessions_new(env);
	if (share->sessions == NULL) {
		mesh__share_unref(share);
		return mesh__fail_memory(err);
	}
	*out = share;
	return MESH_OK;
}

struct mesh__share *mesh__share_ref(struct mesh__share *share)
{
	(void)atomic_fetch_add_explicit(&share->refs, 1, memory_order_relaxed);
	return share;
}

void mesh__share_unref(struct mesh__share *share)
{
	if (share == NULL || atomic_fetch_sub_explicit(&share->refs, 1, memory_order_acq_rel) != 1) {
		return;
	}
	mesh__curl_sessions_unref(share->sessions);
	(void)pthread_mutex_destroy(&share->leaves_mu);
	mesh__free(share);
}

struct mesh__curl_sessions *mesh__share_sessions(struct mesh__share *share)
{
	return share->sessions;
}

/* ---- what it knows ---- */

static struct leaf *find_locked(struct mesh__share *share, const unsigned char sha256[32])
{
	for (size_t i = 0; i < LEAVES; i++) {
		if (share->leaves[i].not_after_ms != 0 && memcmp(share->leaves[i].sha256, sha256, sizeof(share->leaves[i].sha256)) == 0) {
			return &share->leaves[i];
		}
	}
	return NULL;
}

void mesh__share_vouch(struct mesh__share *share, const unsigned char sha256[32], int64_t not_after_ms)
{
	(void)pthread_mutex_lock(&share->leaves_mu);
	if (find_locked(share, sha256) == NULL) {
		struct leaf *leaf = &share->leaves[share->next_leaf++ % LEAVES];

		memcpy(leaf->sha256, sha256, sizeof(leaf->sha256));
		leaf->not_after_ms = not_after_ms;
	}
	(void)pthread_mutex_unlock(&share->leaves_mu);
}

bool mesh__share_vouched(struct mesh__share *share, const unsigned char sha256[32])
{
	bool found;

	(void)pthread_mutex_lock(&share->leaves_mu);
	found = find_locked(share, sha256) != NULL;
	(void)pthread_mutex_unlock(&share->leaves_mu);
	return found;
}

void mesh__share_spoil(struct mesh__share *share)
{
	atomic_store(&share->spoiled, true);
}

bool mesh__share_good(struct mesh__share *share)
{
	int64_t soon_ms = mesh__wall_ms(share->env) + MARGIN_MS;
	bool good = !atomic_load(&share->spoiled);

	(void)pthread_mutex_lock(&share->leaves_mu);
	for (size_t i = 0; i < LEAVES; i++) {
		good = good && (share->leaves[i].not_after_ms == 0 || soon_ms < share->leaves[i].not_after_ms);
	}
	(void)pthread_mutex_unlock(&share->leaves_mu);
	return good;
}
