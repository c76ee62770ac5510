#include "http/refusal.h"

const struct mesh__refusal_text *mesh__refusal_text(enum mesh__refusal refusal)
{
	static const struct mesh__refusal_text texts[] = {
#define X(name, status, word, sentence) {status, word, sentence},
		MESH__REFUSALS(X)
#undef X
	};

	return &texts[refusal];
}
