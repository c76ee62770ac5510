/* Configuration documents: no input crashes or leaks, a refusal names its place, and what is taken is the same after its canonical text was read again. */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "policy/document.h"
#include "policy/effective.h"
#include "support/alloc_fail.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds)
{
	if (!holds) {
		abort();
	}
}

static void check_round_trip(const struct mesh__mem *mem, const struct mesh__document *doc)
{
	struct mesh__document *again;

	check(mesh__documents_parse(mem, "again", doc->text, strlen(doc->text), "elsewhere", &again, NULL, NULL, NULL) == MESH_OK);
	check(again != NULL && again->next == NULL);
	check(again->kind == doc->kind && strcmp(again->name, doc->name) == 0 && strcmp(again->ns, doc->ns) == 0);
	check(strcmp(again->text, doc->text) == 0);
	check(again->n_endpoints == doc->n_endpoints && again->insecure_plaintext == doc->insecure_plaintext);
	check(again->service.timeout_ms == doc->service.timeout_ms && again->service.load_balancer.balancer == doc->service.load_balancer.balancer);
	check(again->service.timeout_set == doc->service.timeout_set && again->service.connect_timeout_ms == doc->service.connect_timeout_ms);
	mesh__documents_free(again);
}

/* What it says alone is what its service goes by: a Service's own text, and of the others a document of any service. */
static void check_effective(const struct mesh__mem *mem, const struct mesh__document *doc)
{
	static const enum mesh__layer layers[] = {[MESH__KIND_SERVICE] = MESH__LAYER_SERVICE, [MESH__KIND_NAMESPACE] = MESH__LAYER_NAMESPACE, [MESH__KIND_MESH] = MESH__LAYER_MESH, [MESH__KIND_FAULT] = MESH__LAYER_FAULT};
	const char *texts[MESH__LAYERS] = {NULL};
	struct mesh__document *again;
	struct mesh__name name = {.service = "any", .ns = "other"};
	struct mesh__buf text;

	if (doc->kind == MESH__KIND_ENDPOINTS) {
		return;
	}
	if (mesh__kind_is_of_a_service(doc->kind)) {
		memcpy(name.service, doc->name, sizeof(name.service));
		memcpy(name.ns, doc->ns, sizeof(name.ns));
	}
	texts[layers[doc->kind]] = doc->text;
	mesh__buf_init(&text, mem, MESH__DOCUMENT_MAX_BYTES);
	check(mesh__effective(mem, &name, texts, &text, NULL) == MESH_OK);
	check(doc->kind != MESH__KIND_SERVICE || strcmp(text.data, doc->text) == 0);
	check(mesh__effective_parse(mem, "effective", text.data, "elsewhere", &again, NULL) == MESH_OK);
	check(strcmp(again->text, text.data) == 0);
	mesh__documents_free(again);
	mesh__buf_fini(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mesh__document *list;
	struct mesh__buf faults, warnings;
	struct mesh__err err = MESH__NO_ERR;
	struct fail_mem mem;
	int code;

	fail_mem_init(&mem);
	mesh__buf_init(&faults, &mem.mem, 1 << 22);
	mesh__buf_init(&warnings, &mem.mem, 1 << 22);
	code = mesh__documents_parse(&mem.mem, "f", (const char *)data, size, "default", &list, &faults, &warnings, &err);
	check(code == MESH_OK || (list == NULL && err.code == code && strncmp(err.message, "f:", 2) == 0));
	check((code == MESH_OK) == (faults.len == 0));
	for (const struct mesh__document *doc = list; doc != NULL; doc = doc->next) {
		check_round_trip(&mem.mem, doc);
		check_effective(&mem.mem, doc);
	}
	mesh__documents_free(list);
	mesh__buf_fini(&faults);
	mesh__buf_fini(&warnings);
	check(mem.live == 0);
	return 0;
}
