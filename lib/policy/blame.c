#include "policy/blame.h"

#include "base/error.h"

/* No answer: by whom it was ended. */
static enum mesh__blame of_code(int code)
{
	switch (code) {
	case MESH_E_NO_MEMORY:
	case MESH_E_INVALID:
	case MESH_E_OVERLOADED:
	case MESH_E_UNSUPPORTED:
	case MESH_E_TOO_LARGE: /* an answer was coming: it is our bound that it was over */
	case MESH_E_CANCELLED:
	case MESH_E_CLOSED:
	case MESH_E_INTERNAL:
		return MESH__BLAME_UNKNOWN;
	default:
		return MESH__BLAME_ENDPOINT;
	}
}

enum mesh__blame mesh__blame_decide(const struct mesh__blame_inputs *in)
{
	switch (in->end) {
	case MESH__TRY_ANSWERED:
	case MESH__TRY_NOT_PROCESSED:
		return in->status >= MESH__STATUS_FAILED || in->grpc_failed ? MESH__BLAME_ENDPOINT : MESH__BLAME_NOBODY;
	case MESH__TRY_UNCONNECTED:
	case MESH__TRY_UNSENT:
	case MESH__TRY_UNSURE:
		return of_code(in->code);
	case MESH__TRY_STOPPED:
		return in->code == MESH_E_TIMEOUT && in->whole_time ? MESH__BLAME_ENDPOINT : MESH__BLAME_UNKNOWN;
	case MESH__TRY_LOCAL:
	case MESH__TRY_OUTRUN:
		break;
	}
	return MESH__BLAME_UNKNOWN;
}
