/*
 * Certificates that no honest CA would sign, minted to order, and honest ones where a test wants them cheap. Everything that a plan leaves zero is as a good leaf or CA has it.
 */
#ifndef TESTS_SUPPORT_BAD_CERT_H
#define TESTS_SUPPORT_BAD_CERT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { BAD_CERT_NAMES = 4 };

enum bad_cert_eku { BAD_CERT_EKU_BOTH, BAD_CERT_EKU_NONE, BAD_CERT_EKU_SERVER, BAD_CERT_EKU_CLIENT, BAD_CERT_EKU_ANY, BAD_CERT_EKU_CODE_SIGNING };

struct bad_cert {
	const char *cn;                    /* the subject's; NULL: empty subject for a leaf, "test CA" for a CA */
	const char *uri[BAD_CERT_NAMES];   /* URI SANs, up to the first NULL */
	const char *dns[BAD_CERT_NAMES];   /* DNS SANs, likewise; none, in a leaf without CN: the one of uri[0], where that is a SPIFFE ID */
	bool no_dns;                       /* truly none */
	size_t uri_len;                    /* of uri[0], to have a NUL inside; 0: strlen */
	size_t extra_dns;                  /* so many more DNS SANs */
	enum bad_cert_eku eku;             /* of a leaf; a CA has none */
	bool ca;                           /* CA:TRUE, keyCertSign, cRLSign */
	int pathlen;                       /* of a CA: 0 for none, else one more than the number in the certificate */
	bool cert_sign;                    /* keyCertSign in a leaf */
	bool sha384;                       /* the signature's hash */
	bool rsa2048, p384;                /* the new key; else P-256 */
	int64_t not_before_ms, not_after_ms;
	const char *key_pem;               /* NULL: a new key */
	const char *ca_cert_pem, *ca_key_pem; /* NULL: self-signed */
};

/* Heap PEM of both, to be freed with free(). False when mbedTLS refuses. `key_pem` may be NULL. */
bool bad_cert_mint(const struct bad_cert *plan, char **cert_pem, char **key_pem);

/* A request signed by its key (or, with `broken`, not quite) that asks for the plan's names, with CA:TRUE and keyCertSign if the plan has them. Heap PEM. */
bool bad_csr_mint(const struct bad_cert *plan, bool broken, char **csr_pem);

/* How often the DER of a PEM text names ecdsa-with-SHA256 as RFC 5758 section 3.2 wants it, without parameters; 0 when once with any. */
size_t bare_algorithms(const char *pem);

#endif
