#include "http/curl_peer_sessions.h"

#include <openssl/ssl.h>
#include <pthread.h>
#include <stdatomic.h>

struct mesh__curl_sessions {
	_Atomic int refs;
	pthread_mutex_t mu;  /* guards newest */
	SSL_SESSION *newest; /* NULL: none yet */
};

/* Where an SSL_CTX keeps what it belongs to: OpenSSL gives such places out for the life of the process. */
static pthread_once_t once = PTHREAD_ONCE_INIT;
static int place = -1;

static void on_ctx_free(void *ctx, void *sessions, CRYPTO_EX_DATA *data, int index, long n, void *arg)
{
	(void)ctx;
	(void)data;
	(void)index;
	(void)n;
	(void)arg;
	mesh__curl_sessions_unref(sessions);
}

static void find_place(void)
{
	place = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, on_ctx_free);
}

struct mesh__curl_sessions *mesh__curl_sessions_new(const struct mesh__env *env)
{
	struct mesh__curl_sessions *s = mesh__alloc(&env->mem, sizeof(*s));

	(void)pthread_once(&once, find_place);
	if (s == NULL || place < 0 || pthread_mutex_init(&s->mu, NULL) != 0) {
		mesh__free(s);
		return NULL;
	}
	atomic_init(&s->refs, 1);
	return s;
}

struct mesh__curl_sessions *mesh__curl_sessions_ref(struct mesh__curl_sessions *s)
{
	(void)atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
	return s;
}

void mesh__curl_sessions_unref(struct mesh__curl_sessions *s)
{
	if (s != NULL && atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) == 1) {
		SSL_SESSION_free(s->newest);
		(void)pthread_mutex_destroy(&s->mu);
		mesh__free(s);
	}
}

bool mesh__curl_sessions_any(struct mesh__curl_sessions *s)
{
	bool any;

	(void)pthread_mutex_lock(&s->mu);
	any = s->newest != NULL;
	(void)pthread_mutex_unlock(&s->mu);
	return any;
}

/* ---- inside OpenSSL ---- */

static struct mesh__curl_sessions *sessions_of(const SSL *ssl)
{
	return SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl), place);
}

/* Of TLS 1.2 once a handshake is done, of 1.3 for each ticket that comes after it. 1: the reference is ours. */
static int on_session(SSL *ssl, SSL_SESSION *session)
{
	struct mesh__curl_sessions *s = sessions_of(ssl);
	SSL_SESSION *old;

	if (s == NULL || SSL_SESSION_is_resumable(session) != 1) {
		return 0;
	}
	(void)pthread_mutex_lock(&s->mu);
	old = s->newest;
	s->newest = session;
	(void)pthread_mutex_unlock(&s->mu);
	SSL_SESSION_free(old);
	return 1;
}

/* A copy for each connection: OpenSSL writes to the session of a handshake, also to one that it resumes. */
static SSL_SESSION *copy_newest(struct mesh__curl_sessions *s)
{
	SSL_SESSION *copy;

	(void)pthread_mutex_lock(&s->mu);
	copy = s->newest != NULL ? SSL_SESSION_dup(s->newest) : NULL;
	(void)pthread_mutex_unlock(&s->mu);
	return copy;
}

/* The last moment at which a connection of libcurl's can be told what to resume. */
static void on_info(const SSL *ssl, int where, int result)
{
	struct mesh__curl_sessions *s = sessions_of(ssl);
	SSL_SESSION *session = NULL;

	(void)result;
	if ((where & SSL_CB_HANDSHAKE_START) != 0 && s != NULL && SSL_get_session(ssl) == NULL) {
		session = copy_newest(s);
	}
	if (session != NULL) {
		(void)SSL_set_session((SSL *)(uintptr_t)ssl, session);
		SSL_SESSION_free(session);
	}
}

bool mesh__curl_sessions_use(struct mesh__curl_sessions *s, void *ssl_ctx)
{
	if (SSL_CTX_set_ex_data(ssl_ctx, place, s) != 1) {
		return false;
	}
	(void)mesh__curl_sessions_ref(s);
	(void)SSL_CTX_set_session_cache_mode(ssl_ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(ssl_ctx, on_session);
	SSL_CTX_set_info_callback(ssl_ctx, on_info);
	return true;
}
