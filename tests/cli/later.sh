# What a later version will have is refused by name, never ignored.
t() { "$GLIM" "$@" </dev/null 2>err >out; echo "$? $(cat err)"; [ ! -s out ] || echo "wrote to standard output"; }
for c in quantize pull convert; do t $c --any thing; done
t run --batch 1 -p x
t run --batch=x.jsonl -p x
t run --kv q8_0 -p x
GLIM_BATCH=x.jsonl t run -p x
GLIM_BATCH=x.jsonl t version --json | sed 's/{.*//'
t help quantize
