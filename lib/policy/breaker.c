#include "policy/breaker.h"

void mesh__breaker_default(struct mesh__breaker *breaker)
{
	*breaker = (struct mesh__breaker){
#define X(name, member, text, least) .member = MESH__BREAKER_BUILT_IN,
		MESH__BREAKER_LIMITS(X)
#undef X
	};
}

const char *mesh__breaker_name(enum mesh__breaker_limit limit)
{
	switch (limit) {
#define X(name, member, text, least)                                                                                   \
	case MESH__BREAKER_##name:                                                                                      \
		return text;
		MESH__BREAKER_LIMITS(X)
#undef X
	}
	return "unknown";
}

int32_t mesh__breaker_value(const struct mesh__breaker *breaker, enum mesh__breaker_limit limit)
{
	switch (limit) {
#define X(name, member, text, least)                                                                                   \
	case MESH__BREAKER_##name:                                                                                      \
		return breaker->member;
		MESH__BREAKER_LIMITS(X)
#undef X
	}
	return 0;
}

bool mesh__breaker_admits(const struct mesh__breaker *breaker, enum mesh__breaker_limit limit, int32_t under_way)
{
	return under_way < mesh__breaker_value(breaker, limit);
}
