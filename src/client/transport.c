/* SPDX-License-Identifier: MIT
 * transport.c - one HTTP request and its answer over libcurl, which is called here alone.
 * Owns:   lanes: a multi handle, which keeps connections, with an easy handle, which a transfer borrows. A call takes an idle
 *         lane or makes one; so calls of any number of threads never share one, and connections live on.
 * Not here: keys, tries, redirects (call.c), what a body means.
 * Thread: any. libcurl runs on the caller's thread; only its resolver has threads of its own. Callbacks come without a lock.
 * Fails:  NETWORK and TIMEOUT with the place; certificates are always checked.
 * See:    tests/client, RFC 9110 and 9112 */
#include "client/client_priv.h"

#include <curl/curl.h>

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <strings.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
    IDLE_MAX = 10,       /* lanes kept, as the platform's SDKs keep connections */
    HEAD_MAX = 64 << 10, /* bytes of all heads of one answer */
    GRACE_MS = 300       /* for the end of an answer after the last thing that counts */
};

typedef struct glim_lane {
    CURLM *multi;
    CURL *easy;
    struct glim_lane *next;
} glim_lane;

/* A file of a form while it is sent. */
typedef struct form_file {
    struct transfer *x;
    const char *path;
    int fd; /* -1: a part of text */
    uint64_t size, at;
} form_file;

typedef struct transfer {
    const glim_send *s;
    glim_got *got;
    glim_error *e;
    glim_err rc; /* of a callback; then e is filled */
    CURL *easy;
    struct curl_slist *lines;
    curl_mime *mime;
    form_file *files;
    size_t n_head; /* bytes */
    bool head_over, enough;
    uint64_t began_ns, last_ns; /* last: a byte came or went */
    char text[CURL_ERROR_SIZE];
} transfer;

/* ---- lanes ----------------------------------------------------------------------------------- */

static pthread_once_t once = PTHREAD_ONCE_INIT;
static CURLcode global_rc;

static void global_init(void)
{
    global_rc = curl_global_init(CURL_GLOBAL_DEFAULT);
}

void glim_transport_init(glim_transport *t)
{
    *t = (glim_transport){.idle = NULL};
    (void)pthread_mutex_init(&t->lock, NULL);
}

static void lane_free(glim_lane *l)
{
    if (!l) return;
    if (l->easy) curl_easy_cleanup(l->easy);
    if (l->multi) curl_multi_cleanup(l->multi);
    glim_free(l);
}

void glim_transport_deinit(glim_transport *t)
{
    while (t->idle) {
        glim_lane *l = t->idle;
        t->idle = l->next;
        lane_free(l);
    }
    (void)pthread_mutex_destroy(&t->lock);
}

static glim_err lane_take(glim_transport *t, glim_lane **out, glim_error *e)
{
    pthread_mutex_lock(&t->lock);
    glim_lane *l = t->idle;
    if (l) {
        t->idle = l->next;
        t->n_idle--;
    }
    pthread_mutex_unlock(&t->lock);
    *out = l;
    if (l) return GLIM_OK;
    (void)pthread_once(&once, global_init);
    if (global_rc)
        return glim_fail(e, GLIM_E_INTERNAL, "libcurl does not start: %s",
                         curl_easy_strerror(global_rc));
    l = glim_new0(glim_lane);
    if (l) l->multi = curl_multi_init();
    if (l && l->multi) l->easy = curl_easy_init();
    if (!l || !l->easy) {
        lane_free(l);
        return glim_fail(e, GLIM_E_NOMEM, "a connection");
    }
    (void)curl_multi_setopt(l->multi, CURLMOPT_MAXCONNECTS, 4L);
    *out = l;
    return GLIM_OK;
}

static void lane_give(glim_transport *t, glim_lane *l)
{
    curl_easy_reset(l->easy);
    pthread_mutex_lock(&t->lock);
    bool keep = t->n_idle < IDLE_MAX;
    if (keep) {
        l->next = t->idle;
        t->idle = l;
        t->n_idle++;
    }
    pthread_mutex_unlock(&t->lock);
    if (!keep) lane_free(l);
}

/* ---- the head of an answer --------------------------------------------------------------------- */

static bool header_is(glim_str line, const char *name, glim_str *value)
{
    size_t n = strlen(name);
    if (line.n <= n || line.p[n] != ':' ||
        !glim_str_ieq(glim_str_sub(line, 0, n), (glim_str){name, n}))
        return false;
    *value = glim_str_trim(glim_str_sub(line, n + 1, line.n), " \t\r\n");
    return true;
}

static void keep_type(glim_got *got, glim_str v)
{
    const char *end = v.n ? memchr(v.p, ';', v.n) : NULL;
    if (end) v = glim_str_trim(glim_str_sub(v, 0, (size_t)(end - v.p)), " \t");
    size_t n = GLIM_MIN(v.n, sizeof got->type - 1);
    for (size_t i = 0; i < n; i++) {
        char c = v.p[i];
        got->type[i] = (char)(c >= 'A' && c <= 'Z' ? c + 32 : c < 0x21 || c > 0x7e ? '?' : c);
    }
    got->type[n] = '\0';
}

/* An id that could not be shown or logged as it is, is none. */
static void keep_request_id(glim_got *got, glim_str v)
{
    if (v.n == 0 || v.n >= sizeof got->request_id) return;
    for (size_t i = 0; i < v.n; i++)
        if (v.p[i] < 0x21 || v.p[i] > 0x7e) return;
    memcpy(got->request_id, v.p, v.n);
    got->request_id[v.n] = '\0';
}

static void keep_header(glim_got *got, glim_str line)
{
    glim_str v;
    int64_t n;
    if (header_is(line, "content-type", &v)) {
        keep_type(got, v);
    } else if (header_is(line, "content-length", &v)) {
        if (glim_parse_i64(v, &n) && n >= 0) got->length = n;
    } else if (header_is(line, "content-encoding", &v)) {
        got->encoded = v.n > 0 && !glim_str_ieq(v, GLIM_STR("identity"));
    } else if (header_is(line, "location", &v)) {
        glim_free(got->redirect);
        got->redirect = (char *)(uintptr_t)glim_str_keep(v)
                            .p; /* as it came; NULL without memory: leads nowhere */
    } else if (header_is(line, "x-request-id", &v)) {
        keep_request_id(got, v);
    } else if (header_is(line, "request-id", &v)) {
        if (!got->request_id[0]) keep_request_id(got, v);
    } else if (header_is(line, "x-should-retry", &v)) {
        if (glim_str_ieq(v, GLIM_STR("true")))
            got->should_retry = GLIM_ON;
        else if (glim_str_ieq(v, GLIM_STR("false")))
            got->should_retry = GLIM_OFF;
    } else if (header_is(line, "retry-after-ms", &v)) {
        if (glim_parse_i64(v, &n) && n >= 0) got->retry_after_ms = n; /* finer: wins */
    } else if (header_is(line, "retry-after", &v)) {
        if (got->retry_after_ms < 0) got->retry_after_ms = glim_retry_after(v, time(NULL));
    }
}

static void got_reset(glim_got *got)
{
    char *redirect = got->redirect;
    glim_free(redirect);
    *got = (glim_got){.length = -1, .retry_after_ms = -1, .should_retry = GLIM_UNSET};
}

static size_t on_header(char *p, size_t size, size_t n, void *user)
{
    transfer *x = user;
    glim_str line = {p, size * n};
    x->last_ns = glim_now_ns();
    x->n_head += line.n;
    if (x->n_head > HEAD_MAX) {
        x->rc = glim_fail(x->e, GLIM_E_LIMIT, "the head of the answer has more than %d bytes",
                          HEAD_MAX);
        return 0;
    }
    if (x->head_over) return line.n; /* a trailer */
    if (glim_str_starts(line, GLIM_STR("HTTP/"))) {
        got_reset(x->got); /* what an interim answer said does not count */
        return line.n;
    }
    if (glim_str_trim(line, "\r\n").n) {
        keep_header(x->got, line);
        return line.n;
    }
    long status = 0;
    (void)curl_easy_getinfo(x->easy, CURLINFO_RESPONSE_CODE, &status);
    if (status < 200) return line.n;
    x->head_over = true;
    x->got->status = (int)status;
    x->enough = status < 400 && status >= 300; /* what a redirect says beside does not count */
    if (x->s->head) x->rc = x->s->head(x->s->user, x->got, x->e);
    return x->rc ? 0 : line.n;
}

static size_t on_data(char *p, size_t size, size_t n, void *user)
{
    transfer *x = user;
    glim_str bytes = {p, size * n};
    if (!x->enough) {
        bool enough = false;
        if (x->s->data) x->rc = x->s->data(x->s->user, bytes, &enough, x->e);
        x->enough = enough;
        x->last_ns = glim_now_ns(); /* after the callback: its own time is no silence */
    }
    return x->rc ? 0 : bytes.n;
}

/* ---- forms --------------------------------------------------------------------------------------- */

static size_t on_file(char *p, size_t size, size_t n, void *user)
{
    form_file *f = user;
    size_t want = size * n;
    if (want > f->size - f->at) want = (size_t)(f->size - f->at);
    f->x->last_ns = glim_now_ns();
    if (want == 0) return 0;
    ssize_t k;
    do
        k = pread(f->fd, p, want, (off_t)f->at);
    while (k < 0 && errno == EINTR);
    if (k <= 0) {
        f->x->rc = glim_fail(f->x->e, GLIM_E_IO, "%s: %s after %llu of %llu bytes", f->path,
                             k < 0 ? strerror(errno) : "became shorter while it was sent",
                             (unsigned long long)f->at, (unsigned long long)f->size);
        return CURL_READFUNC_ABORT;
    }
    f->at += (uint64_t)k;
    return (size_t)k;
}

static int on_seek(void *user, curl_off_t offset, int origin)
{
    form_file *f = user;
    if (origin != SEEK_SET || offset < 0 || (uint64_t)offset > f->size) return CURL_SEEKFUNC_FAIL;
    f->at = (uint64_t)offset;
    return CURL_SEEKFUNC_OK;
}

/* What the server is told of the file's name: the last part, as text. */
static glim_err file_name(const char *path, const char **out, glim_error *e)
{
    const char *slash = strrchr(path, '/');
    glim_str name = glim_str_of(slash ? slash + 1 : path);
    bool ok = name.n > 0 && name.n < 256 && glim_utf8_valid(name, NULL);
    for (size_t i = 0; ok && i < name.n; i++)
        ok = (uint8_t)name.p[i] >= 0x20 && name.p[i] != 0x7f && name.p[i] != '\\';
    if (!ok)
        return glim_fail(e, GLIM_E_INPUT,
                         "%s: cannot be sent under its name, which must be UTF-8 without control "
                         "characters and '\\'; give it another",
                         GLIM_QUOTE(glim_str_of(path)));
    *out = name.p;
    return GLIM_OK;
}

static glim_err open_file(form_file *f, glim_error *e)
{
    struct stat st;
    /* O_NONBLOCK: a pipe must not hang before it is refused. */
    f->fd = open(f->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (f->fd < 0 || fstat(f->fd, &st) != 0)
        return glim_fail(e, errno == ENOENT ? GLIM_E_NOTFOUND : GLIM_E_IO, "%s: %s", f->path,
                         strerror(errno));
    if (!S_ISREG(st.st_mode))
        return glim_fail(e, GLIM_E_IO, "%s: %s, not a file", f->path,
                         S_ISDIR(st.st_mode) ? "a folder" : "a device or pipe");
    f->size = (uint64_t)st.st_size;
    return GLIM_OK;
}

static glim_err add_part(transfer *x, const glim_form_part *p, form_file *f)
{
    curl_mimepart *part = curl_mime_addpart(x->mime);
    CURLcode rc = part ? curl_mime_name(part, p->name) : CURLE_OUT_OF_MEMORY;
    if (p->path) {
        const char *name = NULL;
        *f = (form_file){.x = x, .path = p->path, .fd = -1};
        glim_err bad = file_name(p->path, &name, x->e);
        if (!bad) bad = open_file(f, x->e);
        if (bad) return bad;
        if (!rc) rc = curl_mime_data_cb(part, (curl_off_t)f->size, on_file, on_seek, NULL, f);
        if (!rc) rc = curl_mime_filename(part, name);
        if (!rc) rc = curl_mime_type(part, "application/octet-stream");
    } else if (!rc) {
        rc = curl_mime_data(part, p->text.n ? p->text.p : "", p->text.n);
    }
    return rc ? glim_fail(x->e, GLIM_E_NOMEM, "the form to send") : GLIM_OK;
}

static glim_err add_form(transfer *x)
{
    const glim_send *s = x->s;
    x->mime = curl_mime_init(x->easy);
    x->files = glim_alloc_array(s->n_form, sizeof *x->files);
    if (!x->mime || !x->files) return glim_fail(x->e, GLIM_E_NOMEM, "the form to send");
    for (size_t i = 0; i < s->n_form; i++)
        x->files[i].fd = -1;
    for (size_t i = 0; i < s->n_form; i++) {
        glim_err rc = add_part(x, &s->form[i], &x->files[i]);
        if (rc) return rc;
    }
    return curl_easy_setopt(x->easy, CURLOPT_MIMEPOST, x->mime)
               ? glim_fail(x->e, GLIM_E_NOMEM, "the form to send")
               : GLIM_OK;
}

/* ---- setting up, driving, ending -------------------------------------------------------------------- */

static glim_err add_line(transfer *x, const char *name, glim_str value)
{
    size_t n = strlen(name) + 2 + value.n + 1;
    char *line = glim_alloc(n); /* exactly: nothing moves, so that all of it can be wiped */
    if (!line) return glim_fail(x->e, GLIM_E_NOMEM, "the head of a request");
    snprintf(line, n, "%s: %.*s", name, (int)value.n, value.n ? value.p : "");
    struct curl_slist *grown = curl_slist_append(x->lines, line);
    glim_wipe(line, n);
    glim_free(line);
    if (!grown) return glim_fail(x->e, GLIM_E_NOMEM, "the head of a request");
    x->lines = grown;
    return GLIM_OK;
}

/* Notes the first option that libcurl does not take. */
#define SET(opt, value)                                                                            \
    do {                                                                                           \
        if (!rc) rc = curl_easy_setopt(x->easy, (opt), (value));                                   \
    } while (0)

static CURLcode set_rules(transfer *x, const glim_transport *t)
{
    CURLcode rc = CURLE_OK;
    SET(CURLOPT_ERRORBUFFER, x->text);
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_PROTOCOLS_STR, "http,https");
    SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    SET(CURLOPT_FOLLOWLOCATION, 0L);
    SET(CURLOPT_PATH_AS_IS, 1L);
    SET(CURLOPT_SSL_VERIFYPEER, 1L);
    SET(CURLOPT_SSL_VERIFYHOST, 2L);
    SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    SET(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    SET(CURLOPT_TCP_KEEPALIVE, 1L);
    SET(CURLOPT_CONNECTTIMEOUT_MS, (long)ceil(t->connect_timeout_s * 1000));
    /* A cancelled call does not wait for a resolver that does not answer. */
    SET(CURLOPT_QUICK_EXIT, 1L);
    if (t->proxy) SET(CURLOPT_PROXY, t->proxy);
    if (t->ca_file) {
        SET(CURLOPT_CAINFO, t->ca_file);
        SET(CURLOPT_CAPATH, (char *)NULL);
        SET(CURLOPT_PROXY_CAINFO, t->ca_file);
        SET(CURLOPT_PROXY_CAPATH, (char *)NULL);
    }
    return rc;
}

static CURLcode set_request(transfer *x)
{
    const glim_send *s = x->s;
    CURLcode rc = CURLE_OK;
    SET(CURLOPT_URL, s->url);
    SET(CURLOPT_HEADERFUNCTION, on_header);
    SET(CURLOPT_HEADERDATA, x);
    SET(CURLOPT_WRITEFUNCTION, on_data);
    SET(CURLOPT_WRITEDATA, x);
    if (s->n_form) return rc;
    if (s->has_body || strcmp(s->method, "POST") == 0) {
        SET(CURLOPT_POSTFIELDS, s->body.n ? s->body.p : "");
        SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)s->body.n);
    } else if (strcmp(s->method, "HEAD") == 0) {
        SET(CURLOPT_NOBODY, 1L);
    } else {
        SET(CURLOPT_HTTPGET, 1L);
    }
    if (strcmp(s->method, "HEAD") != 0) SET(CURLOPT_CUSTOMREQUEST, s->method);
    return rc;
}

static glim_err set_up(transfer *x, const glim_transport *t)
{
    CURLcode code = set_rules(x, t);
    if (!code) code = set_request(x);
    if (code == CURLE_OUT_OF_MEMORY) return glim_fail(x->e, GLIM_E_NOMEM, "a request");
    if (code)
        return glim_fail(x->e, GLIM_E_INTERNAL, "libcurl %s does not take an option: %s",
                         curl_version_info(CURLVERSION_NOW)->version, curl_easy_strerror(code));
    glim_err rc = GLIM_OK;
    for (size_t i = 0; !rc && i < x->s->n_header; i++)
        rc = add_line(x, x->s->headers[i].name, x->s->headers[i].value);
    /* The body follows the head at once: many servers know no 100 Continue, and waiting for it costs a second. */
    if (!rc) rc = add_line(x, "Expect", (glim_str){NULL, 0});
    if (!rc && x->s->n_form) rc = add_form(x);
    if (!rc && curl_easy_setopt(x->easy, CURLOPT_HTTPHEADER, x->lines))
        rc = glim_fail(x->e, GLIM_E_NOMEM, "a request");
    return rc;
}

static void tear_down(transfer *x)
{
    (void)curl_easy_setopt(x->easy, CURLOPT_ERRORBUFFER, (char *)NULL);
    for (struct curl_slist *l = x->lines; l; l = l->next)
        glim_wipe(l->data, strlen(l->data));
    curl_slist_free_all(x->lines);
    curl_mime_free(x->mime);
    for (size_t i = 0; x->files && i < x->s->n_form; i++)
        if (x->files[i].fd >= 0) close(x->files[i].fd);
    glim_free(x->files);
}

/* Scheme, host and port of what was asked; never a query. */
static glim_str place_of(const char *url)
{
    glim_str s = glim_str_of(url);
    const char *at = strstr(url, "://");
    size_t n = at ? (size_t)(at - url) + 3 : 0;
    while (n < s.n && !strchr("/?#", s.p[n]))
        n++;
    return glim_str_sub(s, 0, n);
}

static glim_err judge(transfer *x, CURLcode code)
{
    glim_str place = place_of(x->s->url);
    const char *why = x->text[0] ? x->text : curl_easy_strerror(code);
    glim_got *got = x->got;
    if (code == CURLE_OK) {
        if (got->status) return GLIM_OK;
        code = CURLE_GOT_NOTHING;
    }
    got->may_heal = true;
    got->cut = code == CURLE_PARTIAL_FILE || (x->head_over && code == CURLE_RECV_ERROR);
    switch (code) {
    case CURLE_OPERATION_TIMEDOUT:
        return glim_fail(x->e, GLIM_E_TIMEOUT, "%s: no connection within the time: %s",
                         GLIM_QUOTE(place), why);
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_COULDNT_CONNECT:
        return glim_fail(x->e, GLIM_E_NETWORK, "%s: no connection: %s", GLIM_QUOTE(place), why);
    case CURLE_OUT_OF_MEMORY:
        got->may_heal = false;
        return glim_fail(x->e, GLIM_E_NOMEM, "a request to %s", GLIM_QUOTE(place));
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_ISSUER_ERROR:
        got->may_heal = false;
        return glim_fail(x->e, GLIM_E_NETWORK,
                         "%s: its certificate is not trusted: %s; is the address right? "
                         "certificates of your own are named by ca_file",
                         GLIM_QUOTE(place), why);
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_WEIRD_SERVER_REPLY:
    case CURLE_BAD_CONTENT_ENCODING:
        got->may_heal = false;
        return glim_fail(x->e, GLIM_E_FORMAT, "%s: the answer is no HTTP: %s", GLIM_QUOTE(place),
                         why);
    case CURLE_URL_MALFORMAT:
    case CURLE_UNKNOWN_OPTION:
        got->may_heal = false;
        return glim_fail(x->e, GLIM_E_INPUT, "%s: the address or the proxy: %s", GLIM_QUOTE(place),
                         why);
    default:
        return glim_fail(x->e, GLIM_E_NETWORK, "%s: %s: %s", GLIM_QUOTE(place),
                         x->head_over ? "the connection broke in the middle of the answer"
                                      : "the connection broke before an answer came",
                         why);
    }
}

/* The address that a Location means, seen from the one that was asked. */
static glim_err resolve(transfer *x)
{
    glim_got *got = x->got;
    char *whole = NULL;
    if (got->status < 300 || got->status >= 400 || !got->redirect) {
        glim_free(got->redirect);
        got->redirect = NULL;
        return GLIM_OK;
    }
    CURLU *u = curl_url();
    CURLUcode rc = u ? curl_url_set(u, CURLUPART_URL, x->s->url, 0) : CURLUE_OUT_OF_MEMORY;
    if (!rc) rc = curl_url_set(u, CURLUPART_URL, got->redirect, 0);
    if (!rc) rc = curl_url_get(u, CURLUPART_URL, &whole, 0);
    curl_url_cleanup(u);
    glim_str kept = glim_str_keep(glim_str_of(rc ? got->redirect : whole));
    curl_free(whole);
    if (!kept.p || rc == CURLUE_OUT_OF_MEMORY) {
        glim_free((char *)(uintptr_t)kept.p);
        return glim_fail(x->e, GLIM_E_NOMEM, "the address of a redirect");
    }
    glim_free(got->redirect);
    got->redirect =
        (char *)(uintptr_t)kept.p; /* what cannot be read is refused by whoever follows */
    return GLIM_OK;
}

/* When this transfer has waited long enough. */
static uint64_t deadline(const transfer *x)
{
    uint64_t limit = (uint64_t)(x->s->timeout_s * 1e9);
    if (x->enough) return x->last_ns + (uint64_t)GRACE_MS * 1000000u;
    return (x->s->between ? x->last_ns : x->began_ns) + limit;
}

/* Until the next thing happens; the transfer's own error when it is over. */
static glim_err wait_more(glim_lane *l, transfer *x, bool *over)
{
    uint64_t now = glim_now_ns(), end = deadline(x);
    if (glim_cancel_is(x->s->cancel)) return glim_fail(x->e, GLIM_E_CANCELLED, "cancelled");
    if (now >= end) {
        *over = true;
        if (x->enough) return GLIM_OK;
        x->got->may_heal = true;
        return glim_fail(x->e, GLIM_E_TIMEOUT, "%s: %s within %g s",
                         GLIM_QUOTE(place_of(x->s->url)),
                         x->s->between ? "nothing more came" : "no whole answer", x->s->timeout_s);
    }
    struct curl_waitfd cancel = {.fd = glim_cancel_fd(x->s->cancel), .events = CURL_WAIT_POLLIN};
    uint64_t ms = (end - now + 999999u) / 1000000u;
    (void)curl_multi_poll(l->multi, &cancel, x->s->cancel ? 1 : 0, ms > 60000 ? 60000 : (int)ms,
                          NULL);
    return GLIM_OK;
}

static glim_err drive(glim_lane *l, transfer *x)
{
    bool over = false;
    glim_err rc = GLIM_OK;
    if (curl_multi_add_handle(l->multi, l->easy)) return glim_fail(x->e, GLIM_E_NOMEM, "a request");
    while (!rc && !over) {
        int running = 0, left = 0;
        CURLMcode mc = curl_multi_perform(l->multi, &running);
        CURLMsg *msg = curl_multi_info_read(l->multi, &left);
        if (x->rc) {
            rc = x->rc; /* e is filled */
        } else if (mc) {
            rc = glim_fail(x->e, mc == CURLM_OUT_OF_MEMORY ? GLIM_E_NOMEM : GLIM_E_INTERNAL,
                           "libcurl: %s", curl_multi_strerror(mc));
        } else if (msg && msg->msg == CURLMSG_DONE) {
            over = true;
            if (!x->enough) rc = judge(x, msg->data.result);
        } else if (!running) {
            rc = glim_fail(x->e, GLIM_E_INTERNAL, "libcurl ends a request without a result");
        } else {
            rc = wait_more(l, x, &over);
        }
    }
    if (!rc) rc = resolve(x);
    (void)curl_multi_remove_handle(l->multi, l->easy);
    return rc;
}

glim_err glim_transport_send(glim_transport *t, const glim_send *s, glim_got *got, glim_error *e)
{
    glim_lane *l;
    got_reset(got);
    glim_err rc = lane_take(t, &l, e);
    if (rc) return rc;
    transfer x = {.s = s, .got = got, .e = e, .easy = l->easy, .began_ns = glim_now_ns()};
    x.last_ns = x.began_ns;
    rc = set_up(&x, t);
    if (!rc) rc = drive(l, &x);
    tear_down(&x);
    lane_give(t, l);
    return rc;
}
