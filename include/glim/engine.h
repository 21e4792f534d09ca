/* SPDX-License-Identifier: MIT
 * engine.h - models, vocabularies, sessions: load a model, render and tokenise, generate events.
 *
 * A model is immutable once open and may be shared; a session is one timeline of tokens with its
 * part of the KV cache and belongs to one thread at a time. Handles are opaque. Option structs are
 * filled by their init function and carry their size, so that fields can be appended.
 *
 *     glim_model *m;  glim_session *s;  glim_error e;
 *     if (glim_model_open("model.gguf", NULL, &m, &e)) fail(e.msg);
 *     if (glim_session_new(m, &s, &e)) fail(e.msg);
 *     if (glim_generate(s, &chat, NULL, on_event, user, &e)) fail(e.msg);
 */
#ifndef GLIM_ENGINE_H
#define GLIM_ENGINE_H

#include "chat.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- vocabulary: tokenizer, template and output parser, without weights ---------------------- */

typedef struct glim_vocab glim_vocab;

/* Opens the tokenizer (and, where they are, template and configuration) of a GGUF file or of a
 * folder. A folder with only tokenizer files is enough. Errors: as glim_model_open(). Thread: any.
 */
GLIM_API GLIM_MUST_USE glim_err glim_vocab_open(const char *path, glim_vocab **out, glim_error *e);
GLIM_API void glim_vocab_close(glim_vocab *v);
GLIM_API size_t glim_vocab_size(const glim_vocab *v);
/* True for the vocabulary of an embedding model. Its tokens are those of a text without the model's own first and last
 * ones (glim_encode() adds them); a token's text is as the file spells it, case and blanks of the text are not in it. */
GLIM_API bool glim_vocab_of_encoder(const glim_vocab *v);

/* A list of token ids; the caller owns it and ends it with glim_tokens_free(). */
typedef struct glim_tokens {
    int32_t *ids;
    size_t n;
} glim_tokens;
GLIM_API void glim_tokens_free(glim_tokens *t);

/* Text to ids. special: the text of special tokens becomes these tokens; otherwise it is ordinary
 * text. Nothing is added at either end. Errors: INPUT (invalid UTF-8: the offset), NOMEM. Thread:
 * any. */
GLIM_API GLIM_MUST_USE glim_err glim_tokenize(const glim_vocab *v, glim_str text, bool special,
                                              glim_tokens *out, glim_error *e);
/* Bytes of one token (not always whole characters); n 0 for ids without a token. Borrows until
 * close. */
GLIM_API glim_str glim_token_text(const glim_vocab *v, int32_t id);
/* True for the tokens that end a turn. */
GLIM_API bool glim_token_is_stop(const glim_vocab *v, int32_t id);

/* A rendered prompt; the caller owns it and ends it with glim_rendered_free(). */
typedef enum glim_start { GLIM_START_REASONING, GLIM_START_CONTENT, GLIM_START_AUTO } glim_start;
typedef struct glim_rendered {
    glim_str text;      /* .p NUL-terminated */
    glim_tokens tokens; /* special tokens only where the template wrote them */
    glim_start start;   /* where the model's answer begins */
} glim_rendered;
GLIM_API void glim_rendered_free(glim_rendered *r);
/* family: a template's name in any case, or NULL for the model file's own. Errors: NOTFOUND
 * (unknown family: lists them; the file's template is none that glim renders), INPUT, NOMEM.
 * Thread: any. */
GLIM_API GLIM_MUST_USE glim_err glim_render(const glim_vocab *v, const char *family,
                                            const glim_chat *chat, glim_rendered *out,
                                            glim_error *e);
/* Name of the template family that the model file asks for; NULL when it is none that glim renders.
 */
GLIM_API const char *glim_vocab_template(const glim_vocab *v);

/* The output parser alone, for raw model output from elsewhere. */
typedef struct glim_output glim_output;
GLIM_API GLIM_MUST_USE glim_err glim_output_new(glim_start start, const glim_tool *tools,
                                                size_t n_tool, glim_event_fn fn, void *user,
                                                glim_output **out, glim_error *e);
GLIM_API void glim_output_free(glim_output *o);
GLIM_API GLIM_MUST_USE glim_err glim_output_feed(glim_output *o, glim_str bytes, glim_error *e);
GLIM_API GLIM_MUST_USE glim_err glim_output_finish(glim_output *o, glim_error *e);

/* Collects events into one answer. glim_collector_event() has the type of a glim_event_fn. */
typedef struct glim_answer {
    glim_str reasoning, content;
    const glim_tool_call *calls;
    size_t n_call;
    glim_stop_reason reason;
    glim_usage usage;
} glim_answer;
typedef struct glim_collector glim_collector;
GLIM_API glim_collector *glim_collector_new(void); /* NULL: out of memory */
GLIM_API void glim_collector_free(glim_collector *c);
GLIM_API bool glim_collector_event(void *collector, const glim_event *ev);
/* Borrows until the collector gets another event or ends. NULL when memory ran out on the way. */
GLIM_API const glim_answer *glim_collector_answer(glim_collector *c);

/* ---- model ----------------------------------------------------------------------------------- */

typedef struct glim_model glim_model;
typedef enum glim_kv_type { GLIM_KV_F16, GLIM_KV_BF16, GLIM_KV_F32 } glim_kv_type;
typedef enum glim_mla_form { GLIM_MLA_AUTO, GLIM_MLA_ABSORBED, GLIM_MLA_EXPANDED } glim_mla_form;

/* Where the memory goes; all in bytes unless named otherwise. */
typedef struct glim_memory_plan {
    uint64_t weights; /* mapped from the file, shared with the page cache */
    uint64_t derived; /* anonymous copies of small weights in another layout */
    uint64_t kv_per_token;
    int64_t n_cache;     /* tokens the cache holds, of all sessions */
    uint64_t kv;         /* n_cache times kv_per_token */
    uint64_t scratch;    /* working memory of a prefill chunk */
    uint64_t available;  /* what the system can give; 0: unknown */
    int64_t n_ctx;       /* chosen, tokens */
    int64_t n_ctx_model; /* what the model was made for, tokens */
    int64_t n_ctx_fit;   /* what fits into memory at this KV type, tokens; INT64_MAX: unknown */
} glim_memory_plan;

typedef struct glim_model_opts {
    size_t size;   /* sizeof(glim_model_opts), set by init */
    int64_t n_ctx; /* tokens; 0: the model's own length, or what fits if that is less */
    int n_thread;  /* 0: one a core */
    glim_kv_type kv;
    const char *cpu; /* kernel level by name; NULL: the best this machine runs */
    glim_mla_form mla;
    int64_t n_chunk;     /* tokens of a prefill chunk; 0: chosen */
    float rank_norm_eps; /* eps of the two low-rank norms; NaN: the model's rms eps */
    /* Called while loading with done of total bytes looked at; may be NULL. False cancels. */
    bool (*progress)(void *user, uint64_t done, uint64_t total);
    void *progress_user;
    int n_session; /* how many contexts the cache should hold; 0: 1. Cut to what fits into memory */
    bool predict; /* keep a cache for the prediction layer (MTP), for glim_session_predict() */
} glim_model_opts;
GLIM_API void glim_model_opts_init(glim_model_opts *o);

/* Opens a model: a GGUF file (any part of a split one) or a folder with safetensors. opts NULL:
 * defaults. Errors: NOTFOUND, IO, FORMAT (damaged or contradictory: file, offset or field, cure),
 * UNSUPPORTED (by name), CONTEXT (opts->n_ctx does not fit: says what would), INPUT (an option out
 * of range), NOMEM, CANCELLED. Thread: any. */
GLIM_API GLIM_MUST_USE glim_err glim_model_open(const char *path, const glim_model_opts *opts,
                                                glim_model **out, glim_error *e);
/* All sessions must be gone. NULL is fine. */
GLIM_API void glim_model_close(glim_model *m);
/* The plan alone, without opening the weights for use. */
GLIM_API GLIM_MUST_USE glim_err glim_model_plan(const char *path, const glim_model_opts *opts,
                                                glim_memory_plan *out, glim_error *e);

typedef struct glim_model_info {
    const char *arch;          /* "deepseek2" */
    const char *name;          /* as the file has it, may be "" */
    const char *template_name; /* may be NULL */
    const char *cpu;           /* kernel level in use */
    int64_t n_layer, n_vocab, n_embd, n_expert, n_expert_used;
    uint64_t n_param; /* elements of all tensors */
    int n_thread;
    int64_t n_chunk; /* tokens of a prefill chunk */
    /* Weights that a step of one token reads, each matrix once: n_expert_used of n_expert, the
     * head, one row of the embedding; vectors and cache are not in it. */
    uint64_t step_bytes;
    glim_memory_plan plan;
    float temperature, top_p, min_p; /* the model's own generation settings */
    int32_t top_k;
    /* What the file says of itself; "" where it says nothing. */
    const char *format;  /* "gguf", "safetensors" */
    const char *quant;   /* "Q4_K_M"; without such a name the type that most bytes are of */
    glim_str license;
    glim_str template_text; /* the chat template's source */
    int64_t n_head;      /* 0: unknown */
} glim_model_info;
/* Borrows until glim_model_close(). */
GLIM_API const glim_model_info *glim_model_get_info(const glim_model *m);
GLIM_API const glim_vocab *glim_model_vocab(const glim_model *m);

/* ---- session --------------------------------------------------------------------------------- */

typedef struct glim_session glim_session;

/* A new empty timeline; its KV pages are taken from the model's pool as it grows. Thread: engine.
 */
GLIM_API GLIM_MUST_USE glim_err glim_session_new(glim_model *m, glim_session **out, glim_error *e);
GLIM_API void glim_session_free(glim_session *s);
GLIM_API int64_t glim_session_n_token(const glim_session *s);
/* Forgets all tokens from position n on. */
GLIM_API void glim_session_truncate(glim_session *s, int64_t n);
/* Asks a running call on this session to stop; polled between layers. Thread: any. */
GLIM_API void glim_session_cancel(glim_session *s);

/* Logits after a position. Borrowed until the callback returns; false cancels. */
typedef bool (*glim_logits_fn)(void *user, int64_t pos, const float *logits, size_t n_vocab);
/* Appends tokens and computes. fn is called for the last position, or for every one with all; it
 * may be NULL. On error the session is cut back to what it was before. Errors: INPUT (an id out of
 * range: which), CONTEXT (the tokens do not fit: both counts), FULL (no KV page free), CANCELLED,
 * IO (the model file was cut, or its disk failed; from then on every call), NOMEM. Thread: engine. */
GLIM_API GLIM_MUST_USE glim_err glim_session_eval(glim_session *s, const int32_t *tokens, size_t n,
                                                  bool all, glim_logits_fn fn, void *user,
                                                  glim_error *e);

/* Appends n positions of seeded random keys and values, without computing anything: a context of
 * any depth within a moment, to measure speed at. What is generated after it means nothing.
 * Errors: CONTEXT, FULL, NOMEM; the session is as before. Thread: engine. */
GLIM_API GLIM_MUST_USE glim_err glim_session_fill_noise(glim_session *s, int64_t n, uint64_t seed,
                                                        glim_error *e);

/* Appends tokens to an empty session and gives the logits of the prediction layer: after position p those of
 * token p + 2, from the trunk's state at p and token p + 1, so for p = 0 .. n - 2. fn as above.
 * Errors: as glim_session_eval(); UNSUPPORTED (the file has no prediction layer), STATE (the session is not
 * empty, or the model was opened without opts.predict), INPUT (fewer than two tokens). Thread: engine. */
GLIM_API GLIM_MUST_USE glim_err glim_session_predict(glim_session *s, const int32_t *tokens,
                                                     size_t n, bool all, glim_logits_fn fn,
                                                     void *user, glim_error *e);

/* Answers a conversation. The longest prefix of the prompt that the session holds already is not
 * computed again. gen NULL: the model's own settings. Events come on the calling thread; the last
 * one is STOP, also when the callback cancels. Errors come before the first event other than
 * PROGRESS, or end the stream in the middle. Thread: engine. */
GLIM_API GLIM_MUST_USE glim_err glim_generate(glim_session *s, const glim_chat *chat,
                                              const glim_gen_opts *gen, glim_event_fn fn,
                                              void *user, glim_error *e);
/* Completes raw text: no template, special-token text is parsed as special tokens, nothing is put
 * before it, and everything that comes out is content. */
GLIM_API GLIM_MUST_USE glim_err glim_generate_raw(glim_session *s, glim_str text,
                                                  const glim_gen_opts *gen, glim_event_fn fn,
                                                  void *user, glim_error *e);

/* ---- scheduler: many generations at once on one model ------------------------------------------ */

/* Owns a thread that alone computes on the model, and a number of sessions (slots). Jobs wait in
 * the order they came; running ones take turns, a token or a piece of a prompt at a time. A free
 * slot whose tokens begin a new prompt is taken for it, and what they share is not computed again. */
typedef struct glim_sched glim_sched;
typedef struct glim_job glim_job;

typedef struct glim_sched_opts {
    size_t size;           /* sizeof(glim_sched_opts), set by init */
    int n_slot;            /* jobs that run at once, 1 to 256; 8 */
    int64_t n_queue;       /* jobs that may wait beyond the free slots; 256 */
    int64_t n_queue_token; /* their prompts in all; 0: 16 contexts */
} glim_sched_opts;
GLIM_API void glim_sched_opts_init(glim_sched_opts *o);
/* The model is the scheduler's alone until free. Errors: INPUT, NOMEM, FULL (no thread). */
GLIM_API GLIM_MUST_USE glim_err glim_sched_new(glim_model *m, const glim_sched_opts *opts,
                                               glim_sched **out, glim_error *e);
/* Cancels what is there and waits for its ends; from now on nothing is taken. Thread: any but the
 * scheduler's own. */
GLIM_API void glim_sched_stop(glim_sched *s);
/* Stops it first where that was not done. Jobs may still be released, but not cancelled or paused. */
GLIM_API void glim_sched_free(glim_sched *s);

typedef struct glim_job_input {
    size_t size; /* sizeof(glim_job_input), set by init */
    const int32_t *ids; /* the prompt; copied */
    size_t n_id;
    glim_start start;
    bool raw;               /* a completion: everything is content */
    const glim_tool *tools; /* borrowed until done, with what they point to */
    size_t n_tool;
    const glim_gen_opts *gen; /* NULL: the model's own; its lists are borrowed until done */
    glim_event_fn fn;         /* on the scheduler's thread; must not block */
    /* Once, as the last thing: e NULL when STOP was the last event, else what went wrong. */
    void (*done)(void *user, const glim_error *e);
    void *user;
} glim_job_input;
GLIM_API void glim_job_input_init(glim_job_input *in);

/* Queues n jobs, all or none; their callbacks may come before this returns. out[i] is to be ended
 * with glim_job_release(). Errors: INPUT, CONTEXT (a prompt is too long), FULL (the queue), STATE
 * (ending), NOMEM. Thread: any. */
GLIM_API GLIM_MUST_USE glim_err glim_sched_submit(glim_sched *s, const glim_job_input *in, size_t n,
                                                  glim_job **out, glim_error *e);
/* Ends a job wherever it stands; STOP says CANCEL. Nothing happens to one that is done. Thread: any. */
GLIM_API void glim_job_cancel(glim_job *j);
/* Makes every slot forget its tokens, so that no prompt finds any in the cache. Errors: STATE while a
 * job runs or waits. Thread: any. */
GLIM_API GLIM_MUST_USE glim_err glim_sched_flush(glim_sched *s, glim_error *e);
/* A paused job keeps its slot and makes no tokens: whoever reads its events is slow. Thread: any. */
GLIM_API void glim_job_pause(glim_job *j, bool pause);
GLIM_API void glim_job_release(glim_job *j); /* NULL is fine. Thread: any */

#define GLIM_SLOTS_MAX 256
typedef struct glim_slot_stat {
    bool busy, prefill;
    int64_t n_token;      /* in the cache */
    int64_t n_prompt, n_cached, n_completion; /* of the job */
    uint64_t busy_ns;
} glim_slot_stat;
typedef struct glim_sched_stat {
    int n_slot, n_running;
    int64_t n_waiting, n_waiting_token;
    int64_t n_page, n_page_free; /* of the cache */
    double prefill_tokens_s, decode_tokens_s; /* measured lately; 0: not yet */
    double wait_s; /* until a job that came now would begin, by these rates */
    bool healthy;  /* nothing to do, or a layer was finished within 30 s */
    uint64_t n_park; /* times a job lost its cache pages to another one */
    glim_slot_stat slot[GLIM_SLOTS_MAX];
} glim_sched_stat;
/* Thread: any; never waits for a computation. */
GLIM_API void glim_sched_get_stat(glim_sched *s, glim_sched_stat *out);

/* ---- machine: what the figures of a benchmark are compared with ------------------------------ */

typedef enum glim_measure {
    GLIM_MEASURE_READ = 1,    /* memory read by all threads at once */
    GLIM_MEASURE_ARITH = 2,   /* products in the cache, by the kernels of a level */
    GLIM_MEASURE_BARRIER = 4, /* an empty job of the thread pool */
    GLIM_MEASURE_DISK = 8,    /* reading a file, past the page cache where the system lets one */
    GLIM_MEASURE_ALL = 15
} glim_measure;

typedef struct glim_machine_opts {
    size_t size;       /* sizeof(glim_machine_opts), set by init */
    unsigned what;     /* of glim_measure; everything */
    int n_thread;      /* 0: one a core */
    bool alone;        /* measure with n_thread only, not with 1, 2, 4, ... up to it */
    const char *cpu;   /* kernel level of the arithmetic; NULL: the best */
    const char *file;  /* for the disk; NULL: that is left out */
    size_t read_bytes; /* of the memory that is read; 0: several times the last-level cache */
    bool (*go_on)(void *user); /* false cancels; may be NULL */
    void *user;
} glim_machine_opts;
GLIM_API void glim_machine_opts_init(glim_machine_opts *o);

/* Medians; what was not measured is 0. An operation is a multiplication or an addition. */
typedef struct glim_machine_point {
    int n_thread;
    double read_bytes_s;
    double q4_k_ops_s, q8_0_ops_s, bf16_ops_s, f32_ops_s; /* by type of the weights */
    double barrier_ns;                                    /* 0 with one thread */
} glim_machine_point;
#define GLIM_MACHINE_POINTS 12
typedef enum glim_disk_mode { GLIM_DISK_DIRECT, GLIM_DISK_CACHED } glim_disk_mode;
typedef struct glim_machine {
    const char *cpu_model, *cpu; /* static strings; cpu: the level of the arithmetic */
    int n_point;                 /* the last one is of the number of threads asked for */
    glim_machine_point point[GLIM_MACHINE_POINTS];
    uint64_t read_size_bytes;   /* of the memory that was read */
    double disk_bytes_s;        /* one piece after the other */
    double disk_random_bytes_s; /* 12 MiB at random places; 0: the file is too small */
    glim_disk_mode disk_mode;   /* CACHED: the page cache may have answered */
} glim_machine;
/* Takes some seconds and up to 512 MiB of memory. opts NULL: defaults. Errors: INPUT, NOMEM, FULL,
 * NOTFOUND and IO (the file), CANCELLED. Thread: any, while nothing else computes. */
GLIM_API GLIM_MUST_USE glim_err glim_machine_measure(const glim_machine_opts *opts,
                                                     glim_machine *out, glim_error *e);

/* ---- files with real shapes and random weights ----------------------------------------------- */

typedef struct glim_synth_opts {
    size_t size;       /* sizeof(glim_synth_opts), set by init */
    const char *arch;  /* "glm-4.7-flash", "glim-demo" */
    const char *type;  /* "q4_k_m", "q8_0", "bf16" or "f32"; any case */
    const char *mix;   /* of q4_k_m: "llama" or "unsloth"; NULL: the former */
    int64_t n_layer;   /* 0: as many as the model has */
    uint64_t seed;     /* the same file for the same seed; 1 */
    int n_thread;      /* 0: one a core; changes nothing in the file */
    const char *vocab; /* a GGUF file; its vocabulary, padded to the size; needed */
    /* Called while writing; may be NULL. False cancels. */
    bool (*progress)(void *user, uint64_t done, uint64_t total);
    void *progress_user;
} glim_synth_opts;
GLIM_API void glim_synth_opts_init(glim_synth_opts *o);
/* Writes a GGUF file for measurements of speed and memory, and for comparing programs. It appears at
 * path whole, or not at all. Errors: UNSUPPORTED (arch, type: lists the known ones), INPUT (an option),
 * NOTFOUND, FORMAT (vocab), IO (no room, not writable: errno's text), NOMEM, FULL, CANCELLED. Thread:
 * any. */
GLIM_API GLIM_MUST_USE glim_err glim_synth_write(const char *path, const glim_synth_opts *opts,
                                                 glim_error *e);

#ifdef __cplusplus
}
#endif
#endif
