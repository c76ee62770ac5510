/* What libcurl asks and tells during an exchange: sockets, leave to send, the response (curl_easy.h). */
#ifndef MESH__HTTP_CURL_HOOKS_H
#define MESH__HTTP_CURL_HOOKS_H

#include <stdbool.h>

#include "http/curl_easy.h"

/* Hangs our callbacks into the handle, for its life. False when libcurl refuses one. */
bool mesh__easy_hook(struct mesh__easy *e) MESH__MUST_USE;

#endif
