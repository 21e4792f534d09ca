/* SPDX-License-Identifier: MIT
 * enctok_spm.c - a SentencePiece model (unigram) into a tokenizer.
 * Owns: the fields of its protocol buffer that matter here: pieces, the trainer's and the
 * normalizer's settings; how XLM-R counts ids.
 * Not here: what the settings do (unigram.c). Fields that change no id are passed over; those
 *           that would, are reproduced or refused by name.
 * Thread: any.
 * Fails: GLIM_E_FORMAT with the offset, GLIM_E_UNSUPPORTED, GLIM_E_NOMEM, and what
 * glim_enctok_new() says.
 * See: tests/unit/text/test_unigram.c */
#include "enctok_priv.h"

/* ---- protocol buffers ------------------------------------------------------------------------ */

enum { WIRE_VARINT = 0, WIRE_64 = 1, WIRE_BYTES = 2, WIRE_32 = 5 };

typedef struct message {
    glim_str file; /* all of it: offsets are counted in it */
    size_t at, end;
    glim_error *e;
} message;

typedef struct field {
    uint32_t number;
    unsigned wire;
    size_t at;      /* of its tag */
    uint64_t value; /* WIRE_VARINT, WIRE_32, WIRE_64 */
    glim_str bytes; /* WIRE_BYTES */
} field;

static glim_err bad(const message *m, size_t at, const char *what)
{
    return glim_fail_off(m->e, GLIM_E_FORMAT, at, "at byte %zu of the SentencePiece model: %s", at,
                         what);
}

static glim_err read_varint(message *m, uint64_t *out)
{
    uint64_t v = 0;
    size_t begin = m->at;
    for (unsigned shift = 0; shift < 70; shift += 7) {
        if (m->at >= m->end) return bad(m, begin, "a number is cut off");
        uint8_t b = (uint8_t)m->file.p[m->at++];
        if (shift == 63 && b > 1) break;
        v |= (uint64_t)(b & 0x7f) << shift;
        if (b < 0x80) {
            *out = v;
            return GLIM_OK;
        }
    }
    return bad(m, begin, "a number has more than 64 bits");
}

static glim_err read_fixed(message *m, size_t n, uint64_t *out)
{
    if (m->end - m->at < n) return bad(m, m->at, "a number is cut off");
    *out = 0;
    for (size_t i = 0; i < n; i++)
        *out |= (uint64_t)(uint8_t)m->file.p[m->at++] << 8 * i;
    return GLIM_OK;
}

static glim_err read_field(message *m, field *f)
{
    uint64_t tag, n;
    *f = (field){.at = m->at};
    glim_err rc = read_varint(m, &tag);
    if (rc) return rc;
    f->wire = (unsigned)(tag & 7);
    if (tag >> 3 == 0 || tag >> 32) return bad(m, f->at, "a field without a proper number");
    f->number = (uint32_t)(tag >> 3);
    switch (f->wire) {
    case WIRE_VARINT:
        return read_varint(m, &f->value);
    case WIRE_64:
        return read_fixed(m, 8, &f->value);
    case WIRE_32:
        return read_fixed(m, 4, &f->value);
    case WIRE_BYTES:
        rc = read_varint(m, &n);
        if (rc) return rc;
        if (n > m->end - m->at) return bad(m, f->at, "a field is longer than what it lies in");
        f->bytes = glim_str_sub(m->file, m->at, m->at + (size_t)n);
        m->at += (size_t)n;
        return GLIM_OK;
    default:
        return bad(m, f->at, "a field of a kind that these files do not have");
    }
}

static glim_err want(const message *m, const field *f, unsigned wire)
{
    return f->wire == wire ? GLIM_OK : bad(m, f->at, "a field is not of the type it should be");
}

static message inside(const message *m, const field *f)
{
    size_t at = (size_t)(f->bytes.p - m->file.p);
    return (message){m->file, at, at + f->bytes.n, m->e};
}

/* ---- the model ------------------------------------------------------------------------------- */

typedef struct model {
    size_t n_piece, cap;
    glim_str *text;
    float *score;
    uint8_t *attr;
    glim_str charsmap;
    bool add_prefix, collapse;
    int64_t bos, eos, unk, pad;
} model;

static glim_err refuse(const message *m, const field *f, const char *what)
{
    return glim_fail_off(m->e, GLIM_E_UNSUPPORTED, f->at,
                         "at byte %zu of the SentencePiece model: %s is not supported", f->at,
                         what);
}

static glim_err read_piece(message m, size_t i, model *x)
{
    field f;
    x->attr[i] = GLIM_TOKEN_NORMAL;
    x->text[i] = (glim_str){"", 0};
    while (m.at < m.end) {
        glim_err rc = read_field(&m, &f);
        if (!rc && f.number == 1) rc = want(&m, &f, WIRE_BYTES);
        if (!rc && f.number == 2) rc = want(&m, &f, WIRE_32);
        if (!rc && f.number == 3) rc = want(&m, &f, WIRE_VARINT);
        if (rc) return rc;
        if (f.number == 1) x->text[i] = f.bytes;
        if (f.number == 2) {
            uint32_t bits = (uint32_t)f.value;
            memcpy(&x->score[i], &bits, sizeof bits);
        }
        if (f.number == 3) {
            if (f.value < 1 || f.value > GLIM_TOKEN_BYTE)
                return bad(&m, f.at, "a piece of an unknown type");
            x->attr[i] = (uint8_t)f.value; /* the types have the same numbers */
        }
    }
    return x->text[i].n ? GLIM_OK : bad(&m, m.end, "a piece without text");
}

static glim_err read_trainer(message m, model *x)
{
    field f;
    while (m.at < m.end) {
        glim_err rc = read_field(&m, &f);
        if (rc) return rc;
        bool known =
            f.number == 3 || f.number == 24 || f.number == 35 || (f.number >= 40 && f.number <= 43);
        if (known && (rc = want(&m, &f, WIRE_VARINT))) return rc;
        int64_t id = (int32_t)(uint32_t)f.value;
        if (f.number == 3 && f.value != 1) return refuse(&m, &f, "a model that is not unigram");
        if (f.number == 24 && f.value) return refuse(&m, &f, "treat_whitespace_as_suffix");
        if (f.number == 35 && f.value) return refuse(&m, &f, "byte_fallback");
        if (f.number == 40) x->unk = id;
        if (f.number == 41) x->bos = id;
        if (f.number == 42) x->eos = id;
        if (f.number == 43) x->pad = id;
    }
    return GLIM_OK;
}

static glim_err read_normalizer(message m, model *x)
{
    field f;
    while (m.at < m.end) {
        glim_err rc = read_field(&m, &f);
        if (!rc && f.number == 2) rc = want(&m, &f, WIRE_BYTES);
        if (!rc && f.number >= 3 && f.number <= 5) rc = want(&m, &f, WIRE_VARINT);
        if (rc) return rc;
        if (f.number == 2) x->charsmap = f.bytes;
        if (f.number == 3) x->add_prefix = f.value != 0;
        if (f.number == 4) x->collapse = f.value != 0;
        if (f.number == 5 && !f.value) return refuse(&m, &f, "escape_whitespaces false");
    }
    return GLIM_OK;
}

/* Counts the pieces (x->cap 0), or reads everything. */
static glim_err read_model(message m, model *x)
{
    field f;
    size_t n = 0;
    while (m.at < m.end) {
        glim_err rc = read_field(&m, &f);
        if (!rc && f.number >= 1 && f.number <= 3) rc = want(&m, &f, WIRE_BYTES);
        if (rc) return rc;
        if (f.number == 1 && x->cap) rc = read_piece(inside(&m, &f), n, x);
        if (f.number == 1) n++;
        if (f.number == 2 && x->cap) rc = read_trainer(inside(&m, &f), x);
        if (f.number == 3 && x->cap) rc = read_normalizer(inside(&m, &f), x);
        if (rc) return rc;
    }
    x->n_piece = n;
    return n ? GLIM_OK : bad(&m, m.end, "there are no pieces");
}

/* ---- ids ------------------------------------------------------------------------------------- */

/* Moves the pieces to where XLM-R has them. The arrays have room for two more. */
static glim_err xlmr_order(model *x, glim_error *e)
{
    static const uint8_t kind[] = {GLIM_TOKEN_UNKNOWN, GLIM_TOKEN_CONTROL, GLIM_TOKEN_CONTROL};
    static const char *const head[] = {"<s>", "<pad>", "</s>", "<unk>"};
    for (size_t i = 0; i < GLIM_COUNT(kind); i++)
        if (x->n_piece <= i || x->attr[i] != kind[i])
            return glim_fail(
                e, GLIM_E_FORMAT,
                "the SentencePiece model does not begin with <unk>, <s>, </s> as XLM-R's "
                "does: piece %zu",
                i);
    size_t n = x->n_piece - 3;
    memmove(x->text + 4, x->text + 3, n * sizeof *x->text);
    memmove(x->score + 4, x->score + 3, n * sizeof *x->score);
    memmove(x->attr + 4, x->attr + 3, n);
    for (size_t i = 0; i < GLIM_COUNT(head); i++) {
        x->text[i] = glim_str_of(head[i]);
        x->attr[i] = i == 3 ? GLIM_TOKEN_UNKNOWN : GLIM_TOKEN_CONTROL;
    }
    x->text[n + 4] = GLIM_STR("<mask>");
    x->attr[n + 4] = GLIM_TOKEN_CONTROL;
    x->n_piece += 2;
    x->bos = 0;
    x->pad = 1;
    x->eos = 2;
    x->unk = 3;
    return GLIM_OK;
}

static glim_err make(model *x, bool xlmr_ids, glim_enctok **out, glim_error *e)
{
    glim_err rc = xlmr_ids ? xlmr_order(x, e) : GLIM_OK;
    if (rc) return rc;
    glim_enctok_spec s;
    glim_enctok_spec_init(&s, GLIM_ENCTOK_UNIGRAM);
    s.n_token = x->n_piece;
    s.text = x->text;
    s.score = x->score;
    s.attr = x->attr;
    s.charsmap = x->charsmap;
    s.add_prefix = x->add_prefix;
    s.collapse = x->collapse;
    s.cls = (int32_t)x->bos;
    s.sep = (int32_t)x->eos;
    s.unk = (int32_t)x->unk;
    s.pad = (int32_t)x->pad;
    if (xlmr_ids) s.mask = (int32_t)(x->n_piece - 1);
    return glim_enctok_new(&s, out, e);
}

glim_err glim_enctok_from_spm(glim_str bytes, bool xlmr_ids, glim_enctok **out, glim_error *e)
{
    model x = {.add_prefix = true, .collapse = true, .bos = 1, .eos = 2, .unk = 0, .pad = -1};
    message m = {bytes, 0, bytes.n, e};
    glim_err rc = read_model(m, &x);
    if (rc) return rc;
    if (x.n_piece >= INT32_MAX - 2) return bad(&m, 0, "there are too many pieces");
    x.cap = x.n_piece + 2;
    x.text = glim_alloc_array(x.cap, sizeof *x.text);
    x.score = glim_alloc_array(x.cap, sizeof *x.score);
    x.attr = glim_alloc0(x.cap);
    if (x.text && x.score && x.attr)
        rc = read_model(m, &x);
    else
        rc = glim_fail(e, GLIM_E_NOMEM, "no memory for a vocabulary of %zu tokens", x.n_piece);
    if (!rc) rc = make(&x, xlmr_ids, out, e);
    glim_free(x.text);
    glim_free(x.score);
    glim_free(x.attr);
    return rc;
}
