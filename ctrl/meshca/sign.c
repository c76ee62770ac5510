#include "meshca/sign.h"

#include <inttypes.h>
#include <string.h>

#include "base/buf.h"
#include "base/str.h"
#include "meshca/names.h"
#include "wire/utc.h"

static enum meshca_error check_life(const struct meshca_signer *s, int64_t ttl_ms, struct mesh__err *err)
{
	char asked[24], most[24];

	if (ttl_ms <= 0) {
		(void)mesh__fail(err, MESH_E_INVALID, "a life of %" PRId64 " ms is none; ask for a positive one", ttl_ms);
		return MESHCA_ERROR_TTL;
	}
	if (ttl_ms > s->ttl_max_ms) {
		mesh__duration_format(ttl_ms, asked);
		mesh__duration_format(s->ttl_max_ms, most);
		(void)mesh__fail(err, MESH_E_DENIED, "a life of %s is over the maximum of %s", asked, most);
		return MESHCA_ERROR_TTL;
	}
	return MESHCA_ERROR_NONE;
}

/* A leaf over a CA's key would let its holder, or whoever confuses the two, pass one off as the other. */
static bool is_ca_key(const struct meshca_keystore *store, const unsigned char pin[32])
{
	if (memcmp(pin, store->issuer.pin, 32) == 0) {
		return true;
	}
	for (size_t i = 0; i < store->n_roots; i++) {
		if (memcmp(pin, store->root_pins[i], 32) == 0) {
			return true;
		}
	}
	return false;
}

static enum meshca_error check_csr(const struct meshca_signer *s, const char *csr_pem, struct mesh__csr *csr, struct mesh__err *err)
{
	int code = mesh__pki_csr_read(s->env, csr_pem, strlen(csr_pem), csr, err);

	if (code != MESH_OK) {
		return code == MESH_E_NO_MEMORY ? MESHCA_ERROR_INTERNAL : MESHCA_ERROR_CSR;
	}
	if (is_ca_key(s->store, csr->pin)) {
		(void)mesh__fail(err, MESH_E_DENIED, "the certificate request is for the CA's own key; a service makes a key of its own");
		return MESHCA_ERROR_CSR;
	}
	return MESHCA_ERROR_NONE;
}

static enum meshca_error plan_life(const struct meshca_signer *s, int64_t ttl_ms, struct mesh__validity *life, struct mesh__err *err)
{
	int64_t now_ms = mesh__wall_ms(s->env);
	char ended[MESH__UTC_TEXT];

	if (s->store->issuer.not_after_ms <= now_ms) {
		mesh__utc_format(s->store->issuer.not_after_ms, ended);
		(void)mesh__fail(err, MESH_E_STATE, "the intermediate's life ended on %s; make a new one with `meshca intermediate`, or set this machine's clock", ended);
		return MESHCA_ERROR_UNAVAILABLE;
	}
	life->not_before_ms = now_ms - MESHCA_BACKDATE_MS;
	if (life->not_before_ms < s->store->issuer.not_before_ms) {
		life->not_before_ms = s->store->issuer.not_before_ms;
	}
	life->not_after_ms = now_ms + ttl_ms;
	if (life->not_after_ms > s->store->issuer.not_after_ms) {
		life->not_after_ms = s->store->issuer.not_after_ms;
	}
	return MESHCA_ERROR_NONE;
}

/* What was signed is read back and judged like a stranger's: nothing but what was meant leaves this process. */
static int read_back(const char *pem, const struct mesh__name *name, const struct mesh__csr *csr, const struct mesh__validity *life, struct mesh__leaf *leaf, struct mesh__err *err)
{
	unsigned char pin[32];
	char spiffe[MESH__SPIFFE_MAX];
	int code = mesh__pki_leaf_read(pem, strlen(pem), leaf, err);

	if (code == MESH_OK) {
		code = mesh__pki_pin_of_cert(pem, pin, err);
	}
	if (code != MESH_OK) {
		return code;
	}
	mesh__spiffe_format(name, spiffe);
	if (strcmp(leaf->spiffe, spiffe) != 0 || memcmp(pin, csr->pin, sizeof(pin)) != 0 || leaf->not_after_ms > life->not_after_ms) {
		return mesh__fail(err, MESH_E_INTERNAL, "the certificate that was signed is not the one that was meant; it is thrown away");
	}
	return MESH_OK;
}

static int make_chain(const struct meshca_signer *s, const char *leaf_pem, char **chain, struct mesh__err *err)
{
	struct mesh__buf buf;
	int code;

	mesh__buf_init(&buf, &s->env->mem, MESH__PEM_MAX_BYTES);
	mesh__buf_str(&buf, leaf_pem);
	mesh__buf_str(&buf, s->store->issuer_pem);
	code = mesh__buf_error(&buf, "the certificate chain", err);
	if (code == MESH_OK) {
		*chain = mesh__buf_take(&buf);
		code = *chain == NULL ? mesh__fail_memory(err) : MESH_OK;
	}
	mesh__buf_fini(&buf);
	return code;
}

static int log_issued(struct meshca_signer *s, const struct mesh__csr *csr, const struct mesh__leaf *leaf, struct mesh__err *err)
{
	struct meshca_record record = {
		.time_ms = mesh__wall_ms(s->env), .how = s->how, .serial = leaf->serial, .spiffe = leaf->spiffe, .pin = csr->pin,
		.not_before_ms = leaf->not_before_ms, .not_after_ms = leaf->not_after_ms, .issuer_serial = s->store->issuer.serial,
	};

	return meshca_issuelog_append(s->log, &s->env->mem, &record, err);
}

/* Signs what has been judged, and logs it. */
static enum meshca_error issue(struct meshca_signer *s, const struct mesh__name *name, const struct mesh__csr *csr, const struct mesh__validity *life, struct meshca_issued *out, struct mesh__err *err)
{
	char *pem = NULL, serial[MESH__SERIAL_MAX];
	enum meshca_error refused = MESHCA_ERROR_NONE;
	int code = mesh__pki_leaf(s->env, name, csr, s->store->issuer_pem, s->store->issuer_key, life, &pem, serial, err);

	if (code == MESH_OK) {
		code = read_back(pem, name, csr, life, &out->leaf, err);
	}
	if (code == MESH_OK) {
		code = make_chain(s, pem, &out->chain_pem, err);
	}
	if (code != MESH_OK) {
		refused = MESHCA_ERROR_INTERNAL;
	} else if (log_issued(s, csr, &out->leaf, err) != MESH_OK) {
		meshca_issued_fini(out);
		refused = MESHCA_ERROR_UNAVAILABLE;
	}
	mesh__free(pem);
	return refused;
}

enum meshca_error meshca_sign(struct meshca_signer *signer, const struct meshca_ask *ask, struct meshca_issued *out, struct mesh__err *err)
{
	struct mesh__csr csr;
	struct mesh__name name;
	struct mesh__validity life;
	enum meshca_error refused = check_life(signer, ask->ttl_ms, err);

	memset(out, 0, sizeof(*out));
	if (refused == MESHCA_ERROR_NONE) {
		refused = check_csr(signer, ask->csr_pem, &csr, err);
	}
	if (refused == MESHCA_ERROR_NONE) {
		refused = meshca_name_grant(signer->store->trust_domain, ask->service, ask->ns, &csr, &name, err);
	}
	if (refused == MESHCA_ERROR_NONE) {
		refused = plan_life(signer, ask->ttl_ms, &life, err);
	}
	/* Last, so that what is refused for another reason uses nothing up. */
	if (refused == MESHCA_ERROR_NONE && !meshca_limit_take(&signer->limit, mesh__mono_us(signer->env))) {
		(void)mesh__fail(err, MESH_E_OVERLOADED, "over the issue rate of %" PRId64 " certificates a second; try again in a moment", signer->limit.per_second);
		refused = MESHCA_ERROR_RATE;
	}
	return refused == MESHCA_ERROR_NONE ? issue(signer, &name, &csr, &life, out, err) : refused;
}

void meshca_issued_fini(struct meshca_issued *issued)
{
	mesh__free(issued->chain_pem);
	issued->chain_pem = NULL;
}
