#include "http/refusal.h"

#include "base/error.h"

const struct mesh__refusal_text *mesh__refusal_text(enum mesh__refusal refusal)
{
	static const struct mesh__refusal_text texts[] = {
#define X(name, status, word, sentence) {status, word, sentence},
		MESH__REFUSALS(X)
#undef X
	};

	return &texts[refusal];
}

int mesh__refusal_code(enum mesh__refusal refusal)
{
	switch (refusal) {
	case MESH__REFUSAL_NO_REPLY:
		return MESH_OK;
	case MESH__REFUSAL_TIMEOUT:
	case MESH__REFUSAL_LATE:
		return MESH_E_TIMEOUT;
	case MESH__REFUSAL_NO_MEMORY:
		return MESH_E_NO_MEMORY;
	default:
		return MESH_E_PROTOCOL;
	}
}
