/* SPDX-License-Identifier: MIT
 * segment_priv.h - what Unicode says of characters in words, for the files that look for words. */
#ifndef GLIM_TEXT_SEGMENT_PRIV_H
#define GLIM_TEXT_SEGMENT_PRIV_H

#include "text/text.h"

/* Simple case folding: one code point for one. Thread: any. */
uint32_t glim_fold_case(uint32_t cp);
/* True for characters that belong to the word beside them: decimal digits, marks, connectors such as
 * the low line, letters of Latin, Greek and Cyrillic. Scripts written without blanks, and Korean with
 * its particles, do not join. Thread: any. */
bool glim_joins_word(uint32_t cp);
/* INPUT, saying of what and where, unless s is valid UTF-8. */
GLIM_MUST_USE glim_err glim_words_check(glim_str s, const char *what, glim_error *e);
/* The list of stop words, sorted by bytes. Thread: any. */
bool glim_is_stop_word(glim_str folded);
extern const char *const glim_stop_words[];
extern const size_t glim_n_stop_word;

#endif
