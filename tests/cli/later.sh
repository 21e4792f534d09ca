# What a later version will have is refused by name, never ignored.
t() { "$GLIM" "$@" </dev/null 2>err >out; echo "$? $(cat err)"; [ ! -s out ] || echo "wrote to standard output"; }
for c in serve quantize pull embed cloud; do t $c --any thing; done
for o in --think-budget --repetition-penalty --presence-penalty --frequency-penalty --logit-bias --logprobs --ignore-eos \
    --loop-stop --where --batch --port; do
    t run $o 1 -p x
done
t run -o out -p x
t run --logprobs=3 -p x
t run --kv q8_0 -p x
t logits --mtp
GLIM_LOGPROBS=3 t run -p x
GLIM_LOGPROBS=3 t version
t help serve
