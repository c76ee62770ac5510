/*
 * The cast of the client's tests: one CA and the peers that it names, made and freed by the group's fixtures; and the scene that most of them play in, a server and a pool of cart's to it.
 */
#ifndef TESTS_SUPPORT_CAST_H
#define TESTS_SUPPORT_CAST_H

#include "client_call.h"
#include "raw_server.h"
#include "test_peer.h"

extern struct cast {
	struct mesh__env env;
	struct test_ca ca;
	struct test_peer cart, payments, ledger; /* who calls, who is called, somebody else */
	/* Of cast_set_up_with_stranger() alone: a CA of the same name that nobody believes in, and whom it calls payments. */
	struct test_ca stranger;
	struct test_peer forged;
} cast;

/* cmocka fixtures; cast_begin() does the same under another environment, which is copied. */
int cast_set_up(void **state);
int cast_set_up_with_stranger(void **state);
int cast_tear_down(void **state);
int cast_begin(const struct mesh__env *env, bool with_stranger);

/* The default options of a pool towards payments, which is on that server (NULL: the address is left open). No credentials. */
struct mesh__pool_options cast_options(const struct raw_server *server);

/* mesh__pool_new(), which must succeed. Where the options have no credentials and TLS wants some, they are cart's. */
struct mesh__pool *cast_pool(const struct mesh__env *env, const struct mesh__pool_options *options);

struct scene {
	struct mesh__tls_conf *conf; /* NULL: plaintext */
	struct raw_server *server;
	struct mesh__creds *creds;   /* cart's; NULL in plaintext */
	struct mesh__pool *pool;     /* with them, expects payments; a test may put another in its place */
	struct client_call call;     /* POST "pay" */
};

/* Takes `conf`; borrows `arg`, the script's. */
void scene_open(struct scene *s, struct mesh__tls_conf *conf, raw_script script, const void *arg, enum mesh__http_proto proto);
void scene_close(struct scene *s);

/* The options of the scene's pool, but for the protocol; the credentials are borrowed from it. */
struct mesh__pool_options scene_options(const struct scene *s);

/* The scene's pool is replaced by one of these options. */
void scene_repool(struct scene *s, const struct mesh__env *env, const struct mesh__pool_options *options);

/* The scene's call is answered "ok". */
void scene_expect_ok(struct scene *s, bool http2, bool reused);

#endif
