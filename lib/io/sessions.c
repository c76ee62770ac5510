#include "io/sessions.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "base/mem.h"

/* An id is random: its first bytes spread well enough. Only who made the ids puts them, so nobody can aim at one chain. */
enum { SHARDS = 16, CHAINS = 64 };

struct session {
	struct session *next;             /* in its chain */
	struct session *younger;
	int64_t until_us;                 /* monotonic */
	int64_t not_after_ms;             /* wall */
	size_t len;
	unsigned char id[MESH__SESSION_ID_BYTES];
	unsigned char bytes[];            /* the master secret is among them: wiped before it is freed */
};

struct shard {
	pthread_mutex_t mu; /* guards all below */
	struct session *chains[CHAINS];
	struct session *oldest, *youngest;
	size_t n, n_bytes;
};

struct mesh__sessions {
	_Atomic unsigned refs;
	const struct mesh__env *env;
	struct shard shards[SHARDS];
};

struct mesh__sessions *mesh__sessions_new(const struct mesh__env *env)
{
	struct mesh__sessions *sessions = mesh__alloc(&env->mem, sizeof(*sessions));

	if (sessions == NULL) {
		return NULL;
	}
	atomic_init(&sessions->refs, 1);
	sessions->env = env;
	for (size_t i = 0; i < SHARDS; i++) {
		(void)pthread_mutex_init(&sessions->shards[i].mu, NULL);
	}
	return sessions;
}

static struct shard *shard_of(struct mesh__sessions *sessions, const unsigned char *id)
{
	return &sessions->shards[id[0] % SHARDS];
}

static struct session **chain_of(struct shard *shard, const unsigned char *id)
{
	return &shard->chains[id[1] % CHAINS];
}

/* All live equally long, so that the first to end is the first that came. */
static void drop_oldest_locked(struct shard *shard)
{
	struct session *session = shard->oldest;
	struct session **at = chain_of(shard, session->id);

	while (*at != session) {
		at = &(*at)->next;
	}
	*at = session->next;
	shard->oldest = session->younger;
	if (shard->oldest == NULL) {
		shard->youngest = NULL;
	}
	shard->n--;
	shard->n_bytes -= sizeof(*session) + session->len;
	mesh__wipe(session->bytes, session->len);
	mesh__free(session);
}

static void drop_old_locked(struct shard *shard, int64_t now_us)
{
	while (shard->oldest != NULL && shard->oldest->until_us <= now_us) {
		drop_oldest_locked(shard);
	}
}

struct mesh__sessions *mesh__sessions_ref(struct mesh__sessions *sessions)
{
	atomic_fetch_add_explicit(&sessions->refs, 1, memory_order_relaxed);
	return sessions;
}

void mesh__sessions_unref(struct mesh__sessions *sessions)
{
	if (sessions == NULL || atomic_fetch_sub_explicit(&sessions->refs, 1, memory_order_acq_rel) != 1) {
		return;
	}
	for (size_t i = 0; i < SHARDS; i++) {
		while (sessions->shards[i].oldest != NULL) {
			drop_oldest_locked(&sessions->shards[i]);
		}
		(void)pthread_mutex_destroy(&sessions->shards[i].mu);
	}
	mesh__free(sessions);
}

static void link_locked(struct shard *shard, struct session *session)
{
	struct session **chain = chain_of(shard, session->id);

	session->next = *chain;
	*chain = session;
	*(shard->youngest != NULL ? &shard->youngest->younger : &shard->oldest) = session;
	shard->youngest = session;
	shard->n++;
	shard->n_bytes += sizeof(*session) + session->len;
}

void mesh__sessions_put(struct mesh__sessions *sessions, const unsigned char id[MESH__SESSION_ID_BYTES], const void *bytes, size_t len, int64_t not_after_ms)
{
	struct shard *shard = shard_of(sessions, id);
	int64_t now_us = mesh__mono_us(sessions->env);
	struct session *session = len == 0 || len > MESH__SESSION_MAX_BYTES ? NULL : mesh__alloc(&sessions->env->mem, sizeof(*session) + len);

	if (session == NULL) {
		return; /* the peer makes a whole handshake next time */
	}
	session->until_us = now_us + (int64_t)MESH__SESSION_LIFE_MS * 1000;
	session->not_after_ms = not_after_ms;
	session->len = len;
	memcpy(session->id, id, sizeof(session->id));
	memcpy(session->bytes, bytes, len);
	(void)pthread_mutex_lock(&shard->mu);
	drop_old_locked(shard, now_us);
	while (shard->oldest != NULL && (shard->n >= MESH__SESSIONS_MAX / SHARDS || shard->n_bytes + sizeof(*session) + len > MESH__SESSIONS_MAX_BYTES / SHARDS)) {
		drop_oldest_locked(shard);
	}
	link_locked(shard, session);
	(void)pthread_mutex_unlock(&shard->mu);
}

size_t mesh__sessions_get(struct mesh__sessions *sessions, const unsigned char id[MESH__SESSION_ID_BYTES], unsigned char bytes[MESH__SESSION_MAX_BYTES])
{
	struct shard *shard = shard_of(sessions, id);
	int64_t wall_ms = mesh__wall_ms(sessions->env);
	size_t len = 0;

	(void)pthread_mutex_lock(&shard->mu);
	drop_old_locked(shard, mesh__mono_us(sessions->env));
	for (const struct session *session = *chain_of(shard, id); session != NULL; session = session->next) {
		if (memcmp(session->id, id, sizeof(session->id)) == 0 && wall_ms < session->not_after_ms) {
			len = session->len;
			memcpy(bytes, session->bytes, len);
			break;
		}
	}
	(void)pthread_mutex_unlock(&shard->mu);
	return len;
}
