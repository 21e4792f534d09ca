# Flags of SGLang and vLLM at serve: taken over, or told to have no effect, one line each.
t() { "$GLIM" serve --log error "$@" </dev/null 2>&1; echo $?; }
# The guide's own line; 0.0.0.0 needs a key or --insecure.
s1() {
    t --model-path "$MODEL" --tp-size 4 --tool-call-parser glm47 --reasoning-parser glm45 --speculative-algorithm EAGLE \
        --speculative-num-steps 3 --speculative-eagle-topk 1 --speculative-num-draft-tokens 4 --mem-fraction-static 0.8 \
        --served-model-name glm-4.7-flash --host 0.0.0.0 --port 8000 "$@"
}
s1
s1 --ep-size 8 --trust-remote-code
printf 'GGUFxxxx' >broken.gguf
t --insecure --model-path broken.gguf --tp-size 4 --served-model-name glm-4.7-flash --host 0.0.0.0 --port 0 | sed 's/:[0-9]*$/:N/'
# What the rest of the names does.
t --tp 2 --ep=2 --tensor-parallel-size=2 --speculative-draft-model-path /draft --speculative-what --speculative-other=1 --speculative-third x -m nowhere.gguf
t --max-model-len 0
t --context-length many
t --max-running-requests 1000
t --model-path nowhere.gguf
t -m a.gguf --model-path b.gguf
t --max-model-len 100000000 --port 0 | sed 's/:[0-9]*$/:N/;s/use --ctx [0-9]*/use --ctx N/'
# Values are looked at.
t --tp-size
t --tp-size four
t --tp-size --port 8000
t --tp-size=-1
t --mem-fraction-static much
t --tool-call-parser
t --tool-call-parser --port 8000
t --tool-call-parser=
t --trust-remote-code=yes
t --speculative-num-steps x
t --speculative-
t --max-model-len
# Only here.
"$GLIM" run --tp-size 4 -p x 2>&1; echo $?
"$GLIM" run --model-path x -p x 2>&1; echo $?
GLIM_TP_SIZE=4 GLIM_MODEL_PATH=x "$GLIM" serve --tls-key x 2>&1; echo $?
