#!/usr/bin/env python3
"""The cart's call in Python, by ctypes alone. Run it with MESH_CONTROL and MESH_TOKEN set."""
import ctypes
import os
import sys

lib = ctypes.CDLL(os.environ.get("MESHLIB", "libmeshlib.so.0"))
POINTER, TEXT, SIZE, INT = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t, ctypes.c_int32
for name, result, *arguments in (
    ("mesh_open", INT, POINTER, ctypes.POINTER(POINTER), ctypes.POINTER(POINTER)),
    ("mesh_close", INT, POINTER, ctypes.c_int64),
    ("mesh_request_new", POINTER, POINTER, TEXT, TEXT, TEXT),
    ("mesh_request_body", INT, POINTER, TEXT, SIZE),
    ("mesh_request_free", None, POINTER),
    ("mesh_call", INT, POINTER),
    ("mesh_response_status", INT, POINTER),
    ("mesh_response_body", POINTER, POINTER, ctypes.POINTER(SIZE)),
    ("mesh_request_error", POINTER, POINTER),
    ("mesh_error_message", TEXT, POINTER),
    ("mesh_error_free", None, POINTER),
):
    function = getattr(lib, name)
    function.restype, function.argtypes = result, arguments

amount = (sys.argv[1] if len(sys.argv) > 1 else "12.50 EUR").encode()
mesh, error, size = POINTER(), POINTER(), SIZE()
if lib.mesh_open(None, ctypes.byref(mesh), ctypes.byref(error)) != 0:
    sys.exit("cart: " + lib.mesh_error_message(error).decode())
request = lib.mesh_request_new(mesh, b"payments", b"POST", b"/make-payment")
lib.mesh_request_body(request, amount, len(amount))
if lib.mesh_call(request) == 0:
    body = lib.mesh_response_body(request, ctypes.byref(size))
    print(lib.mesh_response_status(request), ctypes.string_at(body, size.value).decode(), end="")
    failed = lib.mesh_response_status(request) != 200
else:
    print("cart:", lib.mesh_error_message(lib.mesh_request_error(request)).decode(), file=sys.stderr)
    failed = True
lib.mesh_request_free(request)
lib.mesh_close(mesh, 1000)
sys.exit(failed)
