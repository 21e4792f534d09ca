# SPDX-License-Identifier: MIT
# One target per parser or property; each is fuzz/<name>.c with seeds in fuzz/seed/<name>/.
set(GLIM_FUZZ_TARGETS
    addresses
    bpe_roundtrip
    candidates
    detok
    dialects
    encoder_routes
    enctok
    enctok_gguf
    frames
    gguf
    hear
    http_reader
    json
    openai_chat
    parser
    replies
    safetensors
    template
    tokenizer_json
)
