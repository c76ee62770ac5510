/* Runs a fuzz target over saved inputs: replay FILE-OR-DIRECTORY...
 * Any compiler will do, so `make test` walks every corpus; `make fuzz` links
 * libFuzzer instead of this file. */
#include <dirent.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int feed(FILE *f, size_t size)
{
    /* Exactly as large as the input, so that one byte too far is found. */
    uint8_t *data = malloc(size ? size : 1);
    int err = !data || (size && fread(data, 1, size, f) != size);

    if (!err && size)
        LLVMFuzzerTestOneInput(data, size);
    free(data);
    return err;
}

static int replay_file(const char *path)
{
    struct stat st;
    FILE *f = fopen(path, "rb");
    int err = !f || fstat(fileno(f), &st) || feed(f, (size_t)st.st_size);

    if (err)
        fprintf(stderr, "%s: %s\n", path, strerror(errno));
    if (f)
        fclose(f);
    return err;
}

static int is_directory(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static int replay_directory(const char *path, unsigned *n)
{
    DIR *dir = opendir(path);
    struct dirent *e;
    char name[4096];
    int err = 0;

    while (dir && (e = readdir(dir))) {
        if (e->d_name[0] == '.')
            continue;
        if (snprintf(name, sizeof name, "%s/%s", path, e->d_name) >= (int)sizeof name) {
            err = 1;
            continue;
        }
        err |= replay_file(name);
        ++*n;
    }
    if (dir)
        closedir(dir);
    return err || !dir;
}

int main(int argc, char **argv)
{
    unsigned n = 1;
    int err = 0;

    LLVMFuzzerTestOneInput((const uint8_t *)"", 0);
    for (int i = 1; i < argc; i++) {
        if (is_directory(argv[i])) {
            err |= replay_directory(argv[i], &n);
        } else {
            err |= replay_file(argv[i]);
            n++;
        }
    }
    printf("replayed %u inputs\n", n);
    return err;
}
