/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Preloaded into vipd: counts what it does with the heap, in the file that VIPD_TEST_ALLOCATIONS names, for a test to read while it runs. */
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* glibc's own, below those that are replaced here */
extern void *__libc_malloc(size_t n);
extern void *__libc_calloc(size_t n, size_t n_bytes);
extern void *__libc_realloc(void *p, size_t n);
extern void __libc_free(void *p);

static _Atomic uint64_t until_mapped, *counter = &until_mapped;

void *malloc(size_t n) {
        (*counter)++;
        return __libc_malloc(n);
}

void *calloc(size_t n, size_t n_bytes) {
        (*counter)++;
        return __libc_calloc(n, n_bytes);
}

void *realloc(void *p, size_t n) {
        (*counter)++;
        return __libc_realloc(p, n);
}

void free(void *p) {
        (*counter)++;
        __libc_free(p);
}

static void __attribute__((constructor)) map_counter(void) {
        const char *path = getenv("VIPD_TEST_ALLOCATIONS");
        void *map;
        int fd;

        if (!path || strcmp(program_invocation_short_name, "vipd") != 0)
                return;
        fd = open(path, O_RDWR | O_CLOEXEC);
        if (fd < 0)
                abort();
        map = mmap(NULL, sizeof(*counter), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        (void) close(fd);
        if (map == MAP_FAILED)
                abort();
        counter = map;
}
