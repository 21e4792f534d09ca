/* SPDX-License-Identifier: MIT
 * reader.c - bytes to one HTTP/1.1 message, or to the reason why it is none.
 * Owns:   the grammar of RFC 9112 as far as a server without proxies needs it, read strictly: whatever two readers
 * could understand differently (a bare CR or LF, folded lines, two lengths, a blank before the colon) is refused.
 * Not here: sockets, time, what a path means.
 * Layout: one state a byte, so that pieces of any size give the same result. The text of the head is kept as it came;
 * when it is whole it is walked once more for the views, because a growing buffer moves.
 * Thread: any, one at a time for each reader.
 * Fails:  by refusing; the fields read so far stay usable.   See: tests/unit/server/test_reader.c, fuzz/http_reader.c */
#include "server/http_priv.h"

enum {
    AT_START, /* an empty line before the request line is forgiven once */
    AT_LEAD_LF,
    IN_LINE, /* request line */
    AT_LINE_LF,
    AT_FIELD, /* first byte of a header line, a trailer line or the empty line */
    IN_NAME,
    IN_VALUE,
    AT_VALUE_LF,
    AT_END_LF,
    IN_LENGTH, /* body by Content-Length */
    AT_SIZE,   /* first digit of a chunk's size */
    IN_SIZE,
    IN_EXT,
    AT_SIZE_LF,
    IN_DATA,
    AT_DATA_CR,
    AT_DATA_LF,
    AT_WHOLE
};

/* More memory than this is given back between messages. */
#define KEEP_BYTES ((size_t)32 << 10)

static const char bare_cr[] = "a carriage return without a line feed",
                  bare_lf[] = "a line feed without a carriage return";

static bool is_token(unsigned char c)
{
    static const char marks[] = "!#$%&'*+-.^_`|~";
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c && memchr(marks, c, sizeof marks - 1));
}

/* Bytes of header values: visible, blanks and those above ASCII, whose meaning is the handler's affair. */
static bool is_value(unsigned char c)
{
    return (c >= 0x20 && c != 0x7f) || c == '\t';
}

static int hex_digit(unsigned char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

void glim_http_reader_init(glim_http_reader *r, size_t head_max, size_t body_max)
{
    r->head_max = GLIM_MIN(head_max, (size_t)1 << 30);
    r->body_max = body_max;
    glim_buf_init(&r->head, r->head_max);
    glim_buf_init(&r->decoded, r->head_max);
    glim_buf_init(&r->body, body_max);
    glim_http_reader_reset(r);
}

void glim_http_reader_deinit(glim_http_reader *r)
{
    glim_buf_deinit(&r->head);
    glim_buf_deinit(&r->decoded);
    glim_buf_deinit(&r->body);
}

static void keep_small(glim_buf *b)
{
    size_t max = b->max;
    if (b->cap > KEEP_BYTES) {
        glim_buf_deinit(b);
        glim_buf_init(b, max);
    }
    glim_buf_clear(b);
}

void glim_http_reader_reset(glim_http_reader *r)
{
    keep_small(&r->head);
    keep_small(&r->decoded);
    keep_small(&r->body);
    /* Headers are counted: the array is most of the size and needs no clearing. */
    size_t from = offsetof(glim_http_reader, discard), to = offsetof(glim_http_reader, headers);
    memset((char *)r + from, 0, to - from);
    r->method = GLIM_OTHER_METHOD;
    r->path = GLIM_STR("/");
    r->state = AT_START;
}

bool glim_http_reader_begun(const glim_http_reader *r)
{
    return r->state != AT_START || r->led || r->fault != GLIM_HTTP_OK;
}

static bool refuse(glim_http_reader *r, glim_http_fault fault, const char *text)
{
    if (r->fault == GLIM_HTTP_OK) {
        r->fault = fault;
        r->fault_text = text;
    }
    return false;
}

static bool malformed(glim_http_reader *r, const char *text)
{
    return refuse(r, GLIM_HTTP_MALFORMED, text);
}

/* ---- request line ------------------------------------------------------------------------------ */

static glim_method method_of(glim_str s)
{
    static const struct {
        glim_str name;
        glim_method method;
    } rows[] = {
        {GLIM_STR("GET"), GLIM_GET},       {GLIM_STR("POST"), GLIM_POST},
        {GLIM_STR("HEAD"), GLIM_HEAD},     {GLIM_STR("PUT"), GLIM_PUT},
        {GLIM_STR("DELETE"), GLIM_DELETE}, {GLIM_STR("OPTIONS"), GLIM_OPTIONS},
        {GLIM_STR("PATCH"), GLIM_PATCH},
    };
    for (size_t i = 0; i < GLIM_COUNT(rows); i++)
        if (glim_str_eq(rows[i].name, s)) return rows[i].method;
    return GLIM_OTHER_METHOD;
}

/* Digits of a port: 1 to 5 of them, at most 65535. */
static bool is_port(glim_str s)
{
    uint32_t v = 0;
    if (s.n < 1 || s.n > 5) return false;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] < '0' || s.p[i] > '9') return false;
        v = v * 10 + (uint32_t)(s.p[i] - '0');
    }
    return v <= 65535;
}

/* name, name:port, [v6], [v6]:port. Narrower than RFC 3986, which allows commas and percent signs in names: nobody has
 * such a host, and checks against DNS rebinding want few spellings. */
static bool is_host(glim_str s)
{
    size_t i = 0;
    if (s.n == 0 || s.n > 255) return false;
    if (s.p[0] == '[') {
        bool colon = false;
        for (i = 1; i < s.n && s.p[i] != ']'; i++) {
            colon |= s.p[i] == ':';
            if (hex_digit((unsigned char)s.p[i]) < 0 && s.p[i] != ':' && s.p[i] != '.')
                return false;
        }
        if (i == s.n || !colon) return false;
        i++;
    } else {
        for (; i < s.n && s.p[i] != ':'; i++) {
            unsigned char c = (unsigned char)s.p[i];
            bool ok = (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') ||
                      c == '-' || c == '.' || c == '_' || c == '~';
            if (!ok) return false;
        }
        if (i == 0) return false;
    }
    return i == s.n || (s.p[i] == ':' && is_port(glim_str_sub(s, i + 1, s.n)));
}

typedef struct request_line {
    glim_str method, target, authority, path, query;
    bool http10;
} request_line;

/* Origin form, absolute form of http and https, or "*". */
static bool split_target(glim_http_reader *r, request_line *l)
{
    glim_str t = l->target;
    if (glim_str_is(t, "*")) {
        l->path = GLIM_STR("/");
        if (glim_str_is(l->method, "OPTIONS")) return true;
        return malformed(r, "the target * is for OPTIONS only");
    }
    if (t.n == 0) return malformed(r, "the request line has no target");
    if (t.p[0] != '/') {
        size_t skip = 0;
        if (t.n > 7 && glim_str_ieq(glim_str_sub(t, 0, 7), GLIM_STR("http://"))) skip = 7;
        if (t.n > 8 && glim_str_ieq(glim_str_sub(t, 0, 8), GLIM_STR("https://"))) skip = 8;
        if (!skip) return malformed(r, "the target is neither a path nor an http address");
        size_t end = skip;
        while (end < t.n && t.p[end] != '/' && t.p[end] != '?')
            end++;
        l->authority = glim_str_sub(t, skip, end);
        if (!is_host(l->authority)) return malformed(r, "the host in the target is malformed");
        t = glim_str_sub(t, end, t.n);
    }
    const char *mark = t.n ? memchr(t.p, '?', t.n) : NULL;
    size_t n_path = mark ? (size_t)(mark - t.p) : t.n;
    l->path = n_path ? glim_str_sub(t, 0, n_path) : GLIM_STR("/");
    if (mark) l->query = glim_str_sub(t, n_path + 1, t.n);
    return true;
}

static bool check_percents(glim_http_reader *r, glim_str path)
{
    for (size_t i = 0; i < path.n; i++) {
        if (path.p[i] != '%') continue;
        bool room = path.n - i > 2;
        int hi = room ? hex_digit((unsigned char)path.p[i + 1]) : -1;
        int lo = room ? hex_digit((unsigned char)path.p[i + 2]) : -1;
        if (hi < 0 || lo < 0) return malformed(r, "a % in the path without two hexadecimal digits");
        if (hi == 0 && lo == 0) return malformed(r, "an encoded NUL in the path");
        i += 2;
    }
    return true;
}

/* s: the line without CR LF; all bytes are blanks or visible ASCII. */
static bool parse_line(glim_http_reader *r, glim_str s, request_line *l)
{
    *l = (request_line){.path = GLIM_STR("/")};
    size_t a = 0, b;
    while (a < s.n && is_token((unsigned char)s.p[a]))
        a++;
    if (a == 0 || a == s.n || s.p[a] != ' ')
        return malformed(r, "the request line does not begin with a method and a blank");
    for (b = a + 1; b < s.n && s.p[b] != ' ';)
        b++;
    l->method = glim_str_sub(s, 0, a);
    l->target = glim_str_sub(s, a + 1, b);
    glim_str v = b < s.n ? glim_str_sub(s, b + 1, s.n) : GLIM_STR("");
    bool shape = v.n == 8 && memcmp(v.p, "HTTP/", 5) == 0 && v.p[5] >= '0' && v.p[5] <= '9' &&
                 v.p[6] == '.' && v.p[7] >= '0' && v.p[7] <= '9';
    if (!shape) return malformed(r, "the request line does not end with a blank and HTTP/1.1");
    l->http10 = v.p[7] == '0';
    if (v.p[5] != '1' || v.p[7] > '1')
        return refuse(r, GLIM_HTTP_VERSION, "only HTTP/1.1 and HTTP/1.0 are spoken here");
    if (memchr(l->target.p, '#', l->target.n)) return malformed(r, "a # in the target");
    return split_target(r, l) && check_percents(r, l->path);
}

/* ---- views ------------------------------------------------------------------------------------- */

/* In a buffer of its own: the views of the text stay where they are. The percents were checked. */
static bool decode_path(glim_http_reader *r, glim_str path)
{
    glim_buf_clear(&r->decoded);
    if (glim_buf_addv(&r->decoded, path))
        return refuse(r, GLIM_HTTP_NOMEM, "no memory for the path");
    const char *in = r->decoded.p, *end = in + path.n;
    char *out = r->decoded.p;
    while (in < end) {
        if (*in != '%') {
            *out++ = *in++;
            continue;
        }
        *out++ = (char)(hex_digit((unsigned char)in[1]) * 16 + hex_digit((unsigned char)in[2]));
        in += 3;
    }
    glim_buf_cut(&r->decoded, (size_t)(out - r->decoded.p));
    r->path = glim_buf_view(&r->decoded);
    return true;
}

/* Views of the request line, the first n_line bytes of the text; nothing may be appended to it any more. */
static bool view_line(glim_http_reader *r)
{
    request_line l;
    bool ok = parse_line(r, glim_str_sub(glim_buf_view(&r->head), 0, r->n_line), &l);
    r->method_text = l.method;
    r->method = method_of(l.method);
    r->target = l.target;
    if (!ok) return false;
    r->authority = l.authority;
    r->query = l.query;
    r->http10 = l.http10;
    r->path = l.path;
    return !memchr(l.path.p, '%', l.path.n) || decode_path(r, l.path);
}

/* Headers out of text that was checked byte by byte: name ":" value CR LF, repeated. */
static void view_headers(glim_http_reader *r)
{
    const char *p = r->head.p + r->n_line + 2, *end = r->head.p + r->head.n;
    r->n_header = 0;
    while (p < end && *p != '\r' && r->n_header < GLIM_HTTP_N_HEADER) {
        const char *colon = memchr(p, ':', (size_t)(end - p));
        const char *cr = colon ? memchr(colon, '\r', (size_t)(end - colon)) : NULL;
        if (!cr || end - cr < 2) break; /* the line that was refused */
        const char *v = colon + 1, *v_end = cr;
        while (v < v_end && (*v == ' ' || *v == '\t'))
            v++;
        while (v_end > v && (v_end[-1] == ' ' || v_end[-1] == '\t'))
            v_end--;
        r->headers[r->n_header++] =
            (glim_http_header){{p, (size_t)(colon - p)}, {v, (size_t)(v_end - v)}};
        p = cr + 2;
    }
}

/* A refusal shows what was read: the path decides in whose words it is answered. */
static glim_http_step refused(glim_http_reader *r)
{
    if (r->n_line && !r->method_text.p && view_line(r)) view_headers(r);
    return GLIM_HTTP_REFUSED;
}

void glim_http_reader_refuse(glim_http_reader *r, glim_http_fault fault, const char *text)
{
    refuse(r, fault, text);
    (void)refused(r);
}

/* ---- what the head says ------------------------------------------------------------------------ */

typedef struct seen {
    size_t n_host, n_length, n_transfer;
    glim_str host, length, transfer;
    bool close, keep, encoded, expects, expects_else;
} seen;

static void see_connection(seen *s, glim_str list)
{
    while (list.n) {
        const char *comma = memchr(list.p, ',', list.n);
        size_t n = comma ? (size_t)(comma - list.p) : list.n;
        glim_str word = glim_str_trim(glim_str_sub(list, 0, n), " \t");
        s->close |= glim_str_ieq(word, GLIM_STR("close"));
        s->keep |= glim_str_ieq(word, GLIM_STR("keep-alive"));
        list = glim_str_sub(list, comma ? n + 1 : n, list.n);
    }
}

static void see_header(seen *s, const glim_http_header *h)
{
    glim_str name = h->name, v = h->value;
    switch (name.n) { /* most headers are none of these, and a length tells it cheaply */
    case 4:
        if (!glim_str_ieq(name, GLIM_STR("host"))) return;
        s->n_host++;
        s->host = v;
        return;
    case 6:
        if (!glim_str_ieq(name, GLIM_STR("expect"))) return;
        if (glim_str_ieq(v, GLIM_STR("100-continue")))
            s->expects = true;
        else
            s->expects_else = true;
        return;
    case 10:
        if (glim_str_ieq(name, GLIM_STR("connection"))) see_connection(s, v);
        return;
    case 14:
        if (!glim_str_ieq(name, GLIM_STR("content-length"))) return;
        s->n_length++;
        s->length = v;
        return;
    case 16:
        if (glim_str_ieq(name, GLIM_STR("content-encoding")))
            s->encoded |= v.n && !glim_str_ieq(v, GLIM_STR("identity"));
        return;
    case 17:
        if (!glim_str_ieq(name, GLIM_STR("transfer-encoding"))) return;
        s->n_transfer++;
        s->transfer = v;
        return;
    default:
        return;
    }
}

static bool judge_host(glim_http_reader *r, const seen *s)
{
    if (s->n_host == 0 && !r->http10) return malformed(r, "the header Host is missing");
    if (s->n_host > 1) return malformed(r, "the header Host is there more than once");
    if (s->n_host && !is_host(s->host)) return malformed(r, "the header Host is malformed");
    if (s->n_host && r->authority.n && !glim_str_ieq(s->host, r->authority))
        return malformed(r, "the header Host and the target name different hosts");
    return true;
}

static bool judge_length(glim_http_reader *r, const seen *s)
{
    if (s->n_transfer) {
        if (r->http10) return malformed(r, "Transfer-Encoding does not go with HTTP/1.0");
        if (s->n_length) return malformed(r, "Content-Length and Transfer-Encoding together");
        if (s->n_transfer > 1 || !glim_str_ieq(s->transfer, GLIM_STR("chunked")))
            return malformed(r, "the only Transfer-Encoding understood is chunked, once");
        r->chunked = true;
        return true;
    }
    if (!s->n_length) return true;
    if (s->n_length > 1) return malformed(r, "Content-Length is there more than once");
    if (s->length.n == 0) return malformed(r, "Content-Length is empty");
    for (size_t i = 0; i < s->length.n; i++)
        if (s->length.p[i] < '0' || s->length.p[i] > '9')
            return malformed(r, "Content-Length is not a number");
    /* More digits than a number of the machine has are a number all the same, and too large. */
    if (!glim_parse_u64(s->length, &r->n_length)) r->n_length = UINT64_MAX;
    return true;
}

static bool too_large(glim_http_reader *r)
{
    return refuse(r, GLIM_HTTP_BODY_TOO_LARGE, "the body is larger than this server takes");
}

static bool judge_head(glim_http_reader *r)
{
    seen s = {0};
    for (size_t i = 0; i < r->n_header; i++)
        see_header(&s, &r->headers[i]);
    if (!judge_host(r, &s) || !judge_length(r, &s)) return false;
    r->keep_alive = !s.close && (!r->http10 || s.keep);
    r->has_body = r->chunked || r->n_length > 0;
    if (r->has_body && s.encoded)
        return refuse(r, GLIM_HTTP_ENCODED_BODY, "a compressed body is not understood");
    if (s.expects_else)
        return refuse(r, GLIM_HTTP_EXPECTATION, "the only expectation understood is 100-continue");
    r->expects_continue = s.expects && !r->http10 && r->has_body;
    if (r->n_length > r->body_max) return too_large(r);
    r->left = r->n_length;
    r->state = r->chunked ? AT_SIZE : r->n_length ? IN_LENGTH : AT_WHOLE;
    return true;
}

/* ---- byte by byte ------------------------------------------------------------------------------ */

static bool first_line_byte(glim_http_reader *r, unsigned char c)
{
    if (r->state == AT_START && c == '\r' && !r->led) {
        r->led = true;
        r->state = AT_LEAD_LF;
        return true;
    }
    if (r->state == AT_LEAD_LF) {
        r->state = AT_START;
        return c == '\n' || malformed(r, bare_cr);
    }
    if (r->state == AT_LINE_LF) {
        r->state = AT_FIELD;
        return c == '\n' || malformed(r, bare_cr);
    }
    if (c == '\r' && r->state == IN_LINE) {
        r->state = AT_LINE_LF;
        return true;
    }
    if (c == '\n') return malformed(r, bare_lf);
    if (r->state == AT_START && !is_token(c))
        return malformed(r, "the request line does not begin with a method; is this plain HTTP?");
    if (c < 0x20 || c >= 0x7f)
        return malformed(r, "a byte in the request line that is neither blank nor visible ASCII");
    r->state = IN_LINE;
    return true;
}

static bool field_byte(glim_http_reader *r, unsigned char c)
{
    switch (r->state) {
    case AT_FIELD:
        if (c == '\r') {
            r->state = AT_END_LF;
            return true;
        }
        if (c == '\n') return malformed(r, bare_lf);
        if (c == ' ' || c == '\t') return malformed(r, "a folded header line");
        if (!is_token(c)) return malformed(r, "a header line that does not begin with a name");
        if (r->n_field++ == GLIM_HTTP_N_HEADER)
            return refuse(r, GLIM_HTTP_HEAD_TOO_LARGE, "more than 100 header lines");
        r->state = IN_NAME;
        return true;
    case IN_NAME:
        if (is_token(c)) return true;
        if (c == ':') {
            r->state = IN_VALUE;
            return true;
        }
        if (c == ' ' || c == '\t') return malformed(r, "a blank before the colon of a header");
        return malformed(r, "a header name with a byte that names do not have");
    case IN_VALUE:
        if (c == '\r')
            r->state = AT_VALUE_LF;
        else if (c == '\n')
            return malformed(r, bare_lf);
        else if (!is_value(c))
            return malformed(r, "a control byte in a header");
        return true;
    case AT_VALUE_LF:
        r->state = AT_FIELD;
        return c == '\n' || malformed(r, bare_cr);
    default:
        return c == '\n' || malformed(r, bare_cr); /* AT_END_LF: the caller goes on */
    }
}

/* The bytes [from, to) of the head, kept. */
static bool keep(glim_http_reader *r, const char *from, const char *to)
{
    if (glim_buf_add(&r->head, from, (size_t)(to - from)))
        return refuse(r, GLIM_HTTP_NOMEM, "no memory for the head");
    return true;
}

/* Bytes of the head or of the trailers, which are dropped. True: whole. */
static bool feed_head(glim_http_reader *r, glim_str *in)
{
    const char *p = in->p, *end = in->p + in->n, *from = p;
    bool ok = true, whole = false;
    while (ok && !whole && p < end) {
        unsigned char c = (unsigned char)*p;
        int was = r->state;
        if (was == IN_VALUE && r->n_head < r->head_max) { /* most bytes of a head are here */
            const char *stop = p + GLIM_MIN((size_t)(end - p), r->head_max - r->n_head), *q = p;
            while (q < stop && is_value((unsigned char)*q))
                q++;
            if (q > p) {
                r->n_head += (size_t)(q - p);
                p = q;
                continue;
            }
        }
        bool lead = was == AT_LEAD_LF || (was == AT_START && c == '\r' && !r->led);
        if (!lead && r->n_head++ == r->head_max)
            ok = refuse(r, GLIM_HTTP_HEAD_TOO_LARGE, "the head is larger than this server takes");
        else
            ok = was <= AT_LINE_LF ? first_line_byte(r, c) : field_byte(r, c);
        if (!ok) break;
        p++;
        if (lead) from = p;
        if (was == AT_LINE_LF) {
            request_line l;
            ok = keep(r, from, p);
            from = p;
            r->n_line = ok ? r->head.n - 2 : 0;
            if (ok) ok = parse_line(r, glim_str_sub(glim_buf_view(&r->head), 0, r->n_line), &l);
        }
        whole = was == AT_END_LF;
    }
    if (!r->trailer && p > from) ok = keep(r, from, p) && ok;
    *in = (glim_str){p, (size_t)(end - p)};
    return ok && whole;
}

static bool chunk_size(glim_http_reader *r)
{
    if (r->left > r->body_max - r->n_body) return too_large(r);
    r->n_digit = 0;
    r->state = IN_DATA;
    if (r->left == 0) {
        r->trailer = true;
        r->n_head = r->n_field = 0;
        r->state = AT_FIELD;
    }
    return true;
}

static bool chunk_byte(glim_http_reader *r, unsigned char c)
{
    int digit = hex_digit(c);
    switch (r->state) {
    case AT_SIZE:
    case IN_SIZE:
        if (digit >= 0) {
            /* 16 digits fill 64 bits exactly: no overflow to check. */
            if (r->n_digit++ == 16) return malformed(r, "a chunk size of more than 16 digits");
            r->left = r->state == AT_SIZE ? (uint64_t)digit : r->left << 4 | (uint64_t)digit;
            r->state = IN_SIZE;
            return true;
        }
        if (r->state == AT_SIZE) return malformed(r, "a chunk without a size");
        if (c != ';' && c != '\r') return malformed(r, "a chunk size that is not hexadecimal");
        r->state = c == ';' ? IN_EXT : AT_SIZE_LF;
        return true;
    case IN_EXT:
        /* Counted over the whole body: they cost work and carry nothing. */
        if (r->n_ext++ == r->head_max)
            return refuse(r, GLIM_HTTP_HEAD_TOO_LARGE, "chunk extensions without end");
        if (c == '\r')
            r->state = AT_SIZE_LF;
        else if (!is_value(c))
            return malformed(r, "a control byte in a chunk extension");
        return true;
    case AT_SIZE_LF:
        return c == '\n' ? chunk_size(r) : malformed(r, bare_cr);
    case AT_DATA_CR:
        r->state = AT_DATA_LF;
        return c == '\r' || malformed(r, "a chunk that is longer than its size");
    default: /* AT_DATA_LF */
        r->state = AT_SIZE;
        return c == '\n' || malformed(r, bare_cr);
    }
}

static bool take_body(glim_http_reader *r, glim_str *in)
{
    size_t n = (size_t)GLIM_MIN((uint64_t)in->n, r->left);
    if (!r->discard && glim_buf_add(&r->body, in->p, n))
        return refuse(r, GLIM_HTTP_NOMEM, "no memory for the body");
    r->n_body += n;
    r->left -= n;
    *in = glim_str_sub(*in, n, in->n);
    if (r->left == 0) r->state = r->chunked ? AT_DATA_CR : AT_WHOLE;
    return true;
}

glim_http_step glim_http_reader_feed(glim_http_reader *r, glim_str *in)
{
    while (!r->fault) {
        if (r->state == AT_WHOLE) return GLIM_HTTP_WHOLE;
        if (in->n == 0) return GLIM_HTTP_MORE;
        if (r->state <= AT_END_LF) {
            if (!feed_head(r, in)) continue;
            if (r->trailer) {
                r->state = AT_WHOLE;
                continue;
            }
            if (!view_line(r)) continue;
            view_headers(r);
            if (judge_head(r)) return GLIM_HTTP_HEAD;
        } else if (r->state == IN_LENGTH || r->state == IN_DATA) {
            take_body(r, in);
        } else if (chunk_byte(r, (unsigned char)in->p[0])) {
            *in = glim_str_sub(*in, 1, in->n);
        }
    }
    return refused(r);
}
