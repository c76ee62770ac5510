/* A TLS client on mbedTLS that never touches a socket, to stand against io/tls in tests. One thread at a time. */
#ifndef TESTS_SUPPORT_TLS_CLIENT_H
#define TESTS_SUPPORT_TLS_CLIENT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"

struct tls_client;

struct tls_client_options {
	const char *chain_pem, *key_pem; /* NULL: shows no certificate */
	const char *roots_pem;           /* the server must be vouched for by one of them, its validity aside; NULL: anybody will do */
	const char *alpn;                /* NULL: none offered */
	const char *alpn_then;           /* offered behind it; NULL: nothing more */
	int suite;                       /* IANA's number; 0: the default list */
	bool tls13;                      /* offer TLS 1.3 too, where the library has it; else at most TLS 1.2 */
	struct tls_client *resume;       /* offer this one's session, which is established; NULL: none */
};

/* Whether the library has TLS 1.3. */
bool tls_client_has_tls13(void);

/* NULL when mbedTLS refuses the options. */
struct tls_client *tls_client_new(const struct tls_client_options *options);
void tls_client_free(struct tls_client *client);

/* Takes and empties `in`, appends to `out`, goes on with the handshake and reads into `plain`. 0 so far so good; else mbedTLS's error. */
int tls_client_step(struct tls_client *client, struct mesh__buf *in, struct mesh__buf *out, struct mesh__buf *plain);

int tls_client_send(struct tls_client *client, const void *bytes, size_t len, struct mesh__buf *out);
void tls_client_close(struct tls_client *client, struct mesh__buf *out);

bool tls_client_established(const struct tls_client *client);
const char *tls_client_version(const struct tls_client *client); /* "TLSv1.2" */
const char *tls_client_alpn(const struct tls_client *client);    /* NULL: none */

/* The fatal alert that the server ended with; 0 for none. */
int tls_client_alert(const struct tls_client *client);

#endif
