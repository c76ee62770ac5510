/* Compiler attributes that every room uses. */
#ifndef MESH__BASE_ATTR_H
#define MESH__BASE_ATTR_H

#define MESH__MUST_USE __attribute__((warn_unused_result))
#define MESH__PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#define MESH__NULL_TERMINATED __attribute__((sentinel))
#define MESH__NOINLINE __attribute__((noinline))

/* The number of elements of a true array. */
#define MESH__COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* Bytes between what one thread changes and another uses: two cache lines, so that whatever the alignment none is shared. */
enum { MESH__APART = 128 };

#endif
