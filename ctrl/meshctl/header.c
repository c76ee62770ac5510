#include "meshctl/header.h"

#include <string.h>

#include "wire/url.h"

bool ctl_header_split(const char *text, char *name, const char **value)
{
	size_t len = strcspn(text, ":");

	if (text[len] != ':' || len == 0 || len >= CTL_HEADER_NAME_MAX) {
		return false;
	}
	memcpy(name, text, len);
	name[len] = '\0';
	*value = text + len + 1 + strspn(text + len + 1, " \t");
	return mesh__field_name_valid(name, len) && mesh__field_value_valid(*value, strlen(*value));
}

int ctl_headers_check(struct ctl *ctl)
{
	char name[CTL_HEADER_NAME_MAX];
	const char *text, *value;

	for (size_t i = 0; (text = ctl_nth(&ctl->args, "header", i)) != NULL; i++) {
		if (!ctl_header_split(text, name, &value)) {
			return ctl_fail(ctl, CTL_USAGE, "-H \"%.100s\": write it as \"name: value\"", text);
		}
		if (mesh__field_is_hop(name, strlen(name)) || mesh__field_is_mesh(name, strlen(name))) {
			return ctl_fail(ctl, CTL_USAGE, "-H \"%.100s\": the library sets this field", text);
		}
	}
	return CTL_OK;
}
