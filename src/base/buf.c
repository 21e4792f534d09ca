/* SPDX-License-Identifier: MIT
 * buf.c - growing bytes with a maximum and a remembered error.
 * Fails: LIMIT at the maximum, NOMEM; the bytes so far stay. */
#include "base/base.h"

#include <stdio.h>

void glim_buf_init(glim_buf *b, size_t max_bytes)
{
    *b = (glim_buf){.max = max_bytes};
}

void glim_buf_deinit(glim_buf *b)
{
    glim_free(b->p);
    *b = (glim_buf){0};
}

void glim_buf_clear(glim_buf *b)
{
    b->n = 0;
    b->err = GLIM_OK;
    if (b->p) b->p[0] = 0;
}

static glim_err reserve(glim_buf *b, size_t n)
{
    if (b->err) return b->err;
    if (n > b->max || b->n > b->max - n) return b->err = GLIM_E_LIMIT;
    size_t need = b->n + n + 1; /* max < SIZE_MAX in practice; the NUL is not counted */
    if (need == 0) return b->err = GLIM_E_LIMIT;
    if (need <= b->cap) return GLIM_OK;
    size_t cap = GLIM_MAX(need, GLIM_MIN(b->cap * 2, b->max == SIZE_MAX ? SIZE_MAX : b->max + 1));
    cap = GLIM_MAX(cap, 64);
    char *p = glim_realloc(b->p, cap);
    if (!p) return b->err = GLIM_E_NOMEM;
    b->p = p;
    b->cap = cap;
    return GLIM_OK;
}

glim_err glim_buf_add(glim_buf *b, const void *p, size_t n)
{
    glim_err rc = reserve(b, n);
    if (rc) return rc;
    if (n) memcpy(b->p + b->n, p, n);
    b->n += n;
    b->p[b->n] = 0;
    return GLIM_OK;
}

glim_err glim_buf_adds(glim_buf *b, const char *s)
{
    return glim_buf_add(b, s, strlen(s));
}

glim_err glim_buf_addv(glim_buf *b, glim_str s)
{
    return glim_buf_add(b, s.p, s.n);
}

glim_err glim_buf_addc(glim_buf *b, char c)
{
    return glim_buf_add(b, &c, 1);
}

glim_err glim_buf_addf(glim_buf *b, const char *fmt, ...)
{
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    glim_err rc = n < 0 ? (b->err = GLIM_E_INTERNAL) : reserve(b, (size_t)n);
    if (!rc) {
        vsnprintf(b->p + b->n, (size_t)n + 1, fmt, again);
        b->n += (size_t)n;
    }
    va_end(again);
    return rc;
}

void glim_buf_drop(glim_buf *b, size_t n)
{
    n = GLIM_MIN(n, b->n);
    if (n == 0) return;
    memmove(b->p, b->p + n, b->n - n + 1);
    b->n -= n;
}

void glim_buf_cut(glim_buf *b, size_t n)
{
    if (n >= b->n) return;
    b->n = n;
    b->p[n] = 0;
}
