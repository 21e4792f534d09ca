/* SPDX-License-Identifier: MIT
 * text.h - the one header of room text: vocabulary and byte-level BPE, incremental detokenizer, chat
 * templates, output parser. Knows tokens, special tokens, tags; knows no files, no model weights.
 * A loaded tokenizer is immutable: Thread any for all const calls. */
#ifndef GLIM_TEXT_H
#define GLIM_TEXT_H

#include "glim/chat.h"
#include "json/json.h"

/* ---- vocab.c, bpe.c, pretok.c ---------------------------------------------------------------- */

typedef enum glim_token_attr {
    GLIM_TOKEN_NORMAL = 1, GLIM_TOKEN_UNKNOWN = 2, GLIM_TOKEN_CONTROL = 3, GLIM_TOKEN_USER = 4, /* numbers as in GGUF */
    GLIM_TOKEN_UNUSED = 5, GLIM_TOKEN_BYTE = 6
} glim_token_attr;

/* What a tokenizer is made of, whatever file it came from. Views borrow until glim_tokenizer_new() returns
 * unless keep says otherwise. */
typedef struct glim_tokenizer_spec {
    size_t n_token;          /* ids 0 .. n_token-1, holes allowed: text.p NULL */
    glim_str *text;          /* normal tokens in the GPT-2 byte alphabet, special ones as plain UTF-8 */
    uint8_t *attr;           /* glim_token_attr a token */
    size_t n_merge;
    struct glim_merge_spec {
        glim_str a, b;       /* byte alphabet, as the file has them */
    } *merges;               /* rank = index */
    bool ignore_merges;      /* a whole pre-token found in the vocabulary is one id */
    bool nfc;                /* normalise to NFC first: refused as UNSUPPORTED until utf8proc is in */
    /* Splits, applied one after the other, each isolating its matches in what the former left. */
    size_t n_split;
    glim_str split[8];       /* regular expressions in the Hugging Face (Oniguruma) notation */
} glim_tokenizer_spec;

/* Splits of a GGUF's `tokenizer.ggml.pre` ("glm4", "chatglm-bpe", "qwen2", "deepseek-r1-qwen", "deepseek-v3", ...)
 * and its ignore_merges rule. UNSUPPORTED, with the list of known names, otherwise. */
GLIM_MUST_USE glim_err glim_pretok_named(glim_str pre, glim_tokenizer_spec *spec, glim_error *e);

/* Reads tokenizer.json (bytes) into a spec whose memory is the arena's. Checks that each part says something
 * glim does the same way; anything else (other model types, normalizers, added tokens with strip flags ...) is
 * UNSUPPORTED by name. Errors: INPUT/FORMAT with offset. */
GLIM_MUST_USE glim_err glim_tokenizer_json_read(glim_arena *a, glim_str json, glim_tokenizer_spec *spec, glim_error *e);

typedef struct glim_tokenizer glim_tokenizer;
/* Copies what it needs. Errors: FORMAT (a merge of unknown tokens, no byte tokens at all, duplicate tokens: which),
 * NOMEM. */
GLIM_MUST_USE glim_err glim_tokenizer_new(const glim_tokenizer_spec *spec, glim_tokenizer **out, glim_error *e);
void glim_tokenizer_free(glim_tokenizer *t);

/* padvocab.c: a vocabulary of n_token ids made of a smaller one: base's normal tokens keep their ids, fillers with
 * merges of their own follow, base's special tokens come from first_special on, unused ids to the end. Borrows base's
 * views; the rest is the arena's. Errors: INPUT (base is not normal tokens, then special ones; it does not fit), NOMEM. */
GLIM_MUST_USE glim_err glim_vocab_pad(glim_arena *a, const glim_tokenizer_spec *base, size_t first_special,
                                      size_t n_token, glim_tokenizer_spec *out, glim_error *e);

size_t glim_tokenizer_n_token(const glim_tokenizer *t);
/* Bytes the token stands for; special tokens give their text; holes and ids out of range give n 0, p NULL. */
glim_str glim_token_bytes(const glim_tokenizer *t, int32_t id);
glim_token_attr glim_token_get_attr(const glim_tokenizer *t, int32_t id); /* holes, out of range: UNUSED */
/* Id of the token whose text (special) or bytes (normal) are s exactly; -1: none. */
int32_t glim_token_special(const glim_tokenizer *t, glim_str s);

/* A list of token ids that grows up to a maximum. */
typedef struct glim_ids {
    int32_t *p;
    size_t n, cap, max;
} glim_ids;
void glim_ids_init(glim_ids *v, size_t max);
void glim_ids_deinit(glim_ids *v);
glim_err glim_ids_add(glim_ids *v, int32_t id);

/* A byte range of a text in which special-token text is only text (what users wrote). */
typedef struct glim_span {
    size_t begin, end;
} glim_span;

/* Appends the ids of text. Special tokens are cut out first, longest match first at each place, where the match
 * touches none of the plain spans (sorted, disjoint). all_plain: no special token at all.
 * Errors: INPUT (invalid UTF-8, with the offset), LIMIT (more than ids->max), NOMEM. ids is then as it was. */
GLIM_MUST_USE glim_err glim_tokenize_spans(const glim_tokenizer *t, glim_str text, const glim_span *plain,
                             size_t n_plain, bool all_plain, glim_ids *ids, glim_error *e);

/* ---- encoder tokenizers: enctok*.c, wordpiece.c, unigram.c, charsmap.c ------------------------ */

/* The tokenizers of encoder models: WordPiece (BERT) and SentencePiece unigram (XLM-R). */
typedef enum glim_enctok_kind { GLIM_ENCTOK_WORDPIECE, GLIM_ENCTOK_UNIGRAM } glim_enctok_kind;

/* What an encoder's tokenizer is made of, whatever file it came from. Views borrow until glim_enctok_new() returns. */
typedef struct glim_enctok_spec {
    glim_enctok_kind kind;
    size_t n_token;                    /* ids 0 .. n_token-1; holes allowed: text.p NULL */
    const glim_str *text;              /* UTF-8; a blank is U+2581 in unigram pieces */
    const uint8_t *attr;               /* glim_token_attr a token; NULL: all normal. The five below are never normal */
    int32_t cls, sep, pad, unk, mask;  /* -1: none; cls, sep and unk must be there */
    /* WordPiece */
    bool inverted;                     /* as in GGUF: U+2581 before pieces that begin a word, nothing before the others;
                                          else "##" before the others */
    bool clean, chinese, lower, strip_accents; /* the four switches of Hugging Face's BertNormalizer */
    /* Unigram */
    const float *score;                /* a log probability a token */
    glim_str charsmap;                 /* precompiled character map; n 0: none, text stays as it is */
    bool add_prefix;                   /* a blank before each text */
    bool collapse;                     /* blanks at both ends go, several become one */
    /* Pairs: cls a sep b sep, or with two sep between. type_ids: the second text has token type 1. */
    bool two_sep, type_ids;
} glim_enctok_spec;
/* The defaults of the kind: all of BertNormalizer on (uncased), "##" pieces, type ids; or prefix and collapse, two sep. */
void glim_enctok_spec_init(glim_enctok_spec *s, glim_enctok_kind kind);

typedef struct glim_enctok glim_enctok; /* immutable. Thread: any */
/* Copies what it needs. Errors: FORMAT (duplicate tokens, broken character map, special ids out of range ...: which),
 * UNSUPPORTED (byte tokens), LIMIT (a token of more than 512 bytes), NOMEM. */
GLIM_MUST_USE glim_err glim_enctok_new(const glim_enctok_spec *spec, glim_enctok **out, glim_error *e);
/* From the bytes of tokenizer.json. What the file asks for that glim does not do the same way is UNSUPPORTED by name.
 * Errors also: INPUT (JSON), FORMAT, with the offset. */
GLIM_MUST_USE glim_err glim_enctok_from_json(glim_str json, glim_enctok **out, glim_error *e);
/* Whether tokenizer.json is that of an encoder (its model is of type WordPiece or Unigram). False for what cannot be
 * read: the reader that is then called says why. Reads no further than it must, as a rule to the model's first key. */
bool glim_enctok_is_json(glim_str json);
/* From vocab.txt, one WordPiece token a line, with [CLS], [SEP], [UNK] and where they are [PAD], [MASK].
 * lower: the model is uncased (case and accents go). Errors: FORMAT with the line, INPUT (UTF-8). */
GLIM_MUST_USE glim_err glim_enctok_from_vocab_txt(glim_str vocab, bool lower, glim_enctok **out, glim_error *e);
/* From a SentencePiece model (sentencepiece.bpe.model). xlmr_ids: ids as XLM-R counts them (<s> <pad> </s> <unk>, then the
 * pieces from the fourth on, <mask> last); else those of the file. Errors: FORMAT with the offset, UNSUPPORTED. */
GLIM_MUST_USE glim_err glim_enctok_from_spm(glim_str model, bool xlmr_ids, glim_enctok **out, glim_error *e);
void glim_enctok_free(glim_enctok *t);

/* Appends the ids of the text alone. special_text: the text of control tokens (and of WordPiece's user tokens) becomes
 * those tokens, longest first, as in the reference library; else it is text like any other. A unigram model's user
 * tokens are pieces in both cases.
 * Errors: INPUT (invalid UTF-8, with the offset), LIMIT (more than ids->max, or a character map that makes a text more
 * than 16 times as long), NOMEM. ids is then as it was. */
GLIM_MUST_USE glim_err glim_enctok_encode(const glim_enctok *t, glim_str text, bool special_text, glim_ids *ids,
                                          glim_error *e);
/* Appends what the model reads: its first token, a (cut to what fits by the caller), its last token.
 * Errors: LIMIT, NOMEM; ids is then as it was, here and below. ids must not be a's own. */
GLIM_MUST_USE glim_err glim_enctok_wrap(const glim_enctok *t, const int32_t *a, size_t n_a, glim_ids *ids, glim_error *e);
/* The same with two texts, by the model's template. *n_first (may be NULL): how many of the ids appended have token type
 * 0, the others 1; all of them where the model knows no types. */
GLIM_MUST_USE glim_err glim_enctok_pair(const glim_enctok *t, const int32_t *a, size_t n_a, const int32_t *b, size_t n_b,
                                        glim_ids *ids, size_t *n_first, glim_error *e);
/* How many tokens of its own the model adds to one text, or to a pair. */
size_t glim_enctok_n_added(const glim_enctok *t, bool pair);

typedef enum glim_enctok_role {
    GLIM_ENCTOK_CLS, GLIM_ENCTOK_SEP, GLIM_ENCTOK_PAD, GLIM_ENCTOK_UNK, GLIM_ENCTOK_MASK, GLIM_ENCTOK_N_ROLE
} glim_enctok_role;
int32_t glim_enctok_id(const glim_enctok *t, glim_enctok_role role); /* -1: none */
size_t glim_enctok_n_token(const glim_enctok *t);
/* The token as the file spells it; holes and ids out of range give n 0, p NULL. */
glim_str glim_enctok_text(const glim_enctok *t, int32_t id);
glim_token_attr glim_enctok_attr(const glim_enctok *t, int32_t id); /* holes, out of range: UNUSED */

/* ---- detok.c: bytes held until UTF-8 is whole ------------------------------------------------ */

typedef struct glim_detok {
    char held[4];
    uint8_t n_held;
} glim_detok;
/* Appends to out the bytes of a token that complete whole characters; bytes that can never become UTF-8 come out
 * as U+FFFD each. finish flushes a broken rest as U+FFFD. */
void glim_detok_init(glim_detok *d);
glim_err glim_detok_push(glim_detok *d, glim_str bytes, glim_buf *out);
glim_err glim_detok_finish(glim_detok *d, glim_buf *out);

/* ---- template.def, template_*.c: messages + tools -> prompt ---------------------------------- */

/* A rendered prompt: the text, and which parts of it are user data (special tokens not parsed there). */
typedef struct glim_prompt {
    glim_buf text;
    glim_span *plain;
    size_t n_plain, cap_plain;
    bool starts_reasoning;  /* the prompt ended inside an open thought */
    bool starts_auto;       /* the model opens the thought itself */
} glim_prompt;
void glim_prompt_init(glim_prompt *p, size_t max_bytes);
void glim_prompt_deinit(glim_prompt *p);

typedef struct glim_template glim_template;
struct glim_template {
    const char *name;                 /* "glm-4.7-flash" */
    const char *const *aliases;       /* NULL-terminated */
    /* True when the model file's own Jinja template (bytes) is one that this renderer reproduces. */
    bool (*matches)(glim_str jinja);
    GLIM_MUST_USE glim_err (*render)(const glim_chat *chat, glim_prompt *out, glim_error *e);
};
/* By name (any case; "GLM-4.7-Flash"), NULL when unknown. */
const glim_template *glim_template_find(glim_str name);
const glim_template *glim_template_match(glim_str jinja);
/* "glm-4.7-flash, glm-4.6, ..." for messages. */
const char *glim_template_names(void);

/* pyjson.c: a JSON value as Python's json.dumps(ensure_ascii=False) writes it after json.loads read it: ", " and
 * ": ", integers of any size exactly, floats shortest-repr ("1e3" -> "1000.0", "1e-7" -> "1e-07"). */
glim_err glim_pyjson(glim_buf *b, const glim_json *v);
/* The same value as Python's str() prints it ("{'a': None}"). */
glim_err glim_pyrepr(glim_buf *b, const glim_json *v);

/* ---- segment.c, wordlist.c, wordfind.c: words of a text -------------------------------------- */

/* Called with the bytes [begin, end) of a word; false ends the walk. */
typedef bool (*glim_word_fn)(void *user, size_t begin, size_t end);
/* Words of a text that hold a letter or a number, in order, by Unicode's rules (UAX 29), Chinese, Japanese and Thai
 * cut by a dictionary. The same whatever the locale; another ICU may cut otherwise. Errors: INPUT (invalid UTF-8, with
 * the offset), LIMIT (2 GiB), NOMEM, FAIL (ICU's data are missing). */
GLIM_MUST_USE glim_err glim_segment(glim_str text, glim_word_fn fn, void *user, glim_error *e);

/* A list of words; end it with glim_free(p). Empty after an error. */
typedef struct glim_word_list {
    glim_str *p;
    size_t n;
} glim_word_list;
/* Words of 2 to 32 characters that are no stop words, each once whatever its letter case, as it is spelled first; the
 * most frequent first, of equal ones the earlier; at most n_max. They borrow from text. Errors: as glim_segment(). */
GLIM_MUST_USE glim_err glim_words_frequent(glim_str text, size_t n_max, glim_word_list *out, glim_error *e);
/* Those of `words` (2 characters at least) that stand in the text, in their order, each once (the first spelling),
 * letter case ignored by simple folding. Where a word begins or ends with a character that joins (a digit, a letter of
 * an alphabet), the text must have none beside it. They borrow from words. Time grows with the length of the text plus
 * that of all words (those sorted), memory with the words'. Errors: INPUT (invalid UTF-8: where), LIMIT, NOMEM. */
GLIM_MUST_USE glim_err glim_words_find(glim_str text, const glim_str *words, size_t n_word, glim_word_list *out,
                                       glim_error *e);

/* ---- parse.def, parse_*.c: model output -> thought, answer, calls ---------------------------- */

typedef enum glim_parse_start { GLIM_PARSE_REASONING, GLIM_PARSE_CONTENT, GLIM_PARSE_AUTO } glim_parse_start;

/* Events are glim_event of kinds REASONING, CONTENT, CALL_*; the id of a call is left empty (the engine names it).
 * Returning false stops the feed (GLIM_E_CANCELLED). */
typedef struct glim_parser glim_parser;
/* tools: copied; with n_tool 0 nothing is parsed as a call. max_bytes bounds what may be held back: a call that
 * outgrows it is text, and so is all that follows; a longer run of blanks is sent on as it is. Nothing is lost.
 * i_call counts announcements: a broken call keeps its number for itself.
 * Errors: INPUT (a tool's JSON), NOMEM. */
GLIM_MUST_USE glim_err glim_parser_new(glim_parse_start start, const glim_tool *tools, size_t n_tool, size_t max_bytes,
                         glim_event_fn fn, void *user, glim_parser **out, glim_error *e);
void glim_parser_free(glim_parser *p);
/* Feeds bytes, cut anywhere (also inside a character). The concatenated events never depend on the cuts. */
GLIM_MUST_USE glim_err glim_parser_feed(glim_parser *p, glim_str bytes, glim_error *e);
/* End of the output: closes what may be closed, gives back as text what never became a call. */
GLIM_MUST_USE glim_err glim_parser_finish(glim_parser *p, glim_error *e);
/* True while the machine is inside the thought: tokens are then counted as reasoning and stop strings rest. */
bool glim_parser_in_reasoning(const glim_parser *p);
size_t glim_parser_n_call(const glim_parser *p); /* whole calls so far */

/* parsed.c: the whole result, for those who need no stream. */
typedef struct glim_parsed_call {
    size_t i_call;
    glim_buf id, name, arguments; /* id may be empty; arguments: one JSON object */
} glim_parsed_call;
typedef struct glim_parsed {
    glim_buf reasoning, content;
    glim_parsed_call *calls;
    size_t n_call, cap_call;
    glim_err err; /* NOMEM or LIMIT: the first that happened */
} glim_parsed;
void glim_parsed_init(glim_parsed *r, size_t max_bytes); /* of each text */
void glim_parsed_deinit(glim_parsed *r);
/* A glim_event_fn, user is the glim_parsed. A call that broke is text here, as it should be. */
bool glim_parsed_event(void *user, const glim_event *ev);

#endif
