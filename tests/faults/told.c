/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "told.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>

void die(const char *what) {
        fprintf(stderr, "%s: %s: %m\n", program_invocation_short_name, what);
        exit(EXIT_FAILURE);
}

void *map_table(const char *path, size_t n_bytes) {
        int fd = open(path, O_RDWR | O_CLOEXEC);
        void *memory;

        if (fd < 0)
                die(path);
        memory = mmap(NULL, n_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (memory == MAP_FAILED)
                die("mmap");
        (void) close(fd);
        return memory;
}

/* xorshift64 */
uint64_t draw(void) {
        static uint64_t x;

        while (x == 0)
                if (getrandom(&x, sizeof(x), 0) < 0)
                        die("getrandom");
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        return x;
}

bool happens(uint32_t permille) {
        return draw() % 1000 < permille;
}
