# A file with random weights is read by every other command; what fails leaves what was there.
t() { "$GLIM" synth "$@" 2>&1; echo $?; }
s="--arch glim-demo --layers 2"
t $s a.gguf
t $s --threads 1 b.gguf && cmp a.gguf b.gguf && echo "the same for any number of threads"
t $s --seed 2 b.gguf; cmp -s a.gguf b.gguf || echo "another seed, another file"
for x in "--type q4_k_m --mix unsloth" "--type Q8_0" "--type bf16" "--type f32"; do
    t $s $x b.gguf
    "$GLIM" inspect b.gguf | grep -E "general.name|file_type|attn_k_b|blk.1.ffn_down_exps|output.weight"
    echo "[1, 5091, 7]" | "$GLIM" logits -m b.gguf --tokens - --top 1 2>/dev/null | grep -c '"pos":2'
done
"$GLIM" tokenize -m a.gguf --special "<|user|>hello" | cut -d] -f1
"$GLIM" run -m a.gguf -p hello -n 3 --temperature 0 --json 2>/dev/null | grep -c '"completion_tokens":3'
cp a.gguf kept.gguf
(ulimit -f 2000; t $s kept.gguf)
cmp a.gguf kept.gguf && echo kept
t
t a b
t $s nowhere/a.gguf
t $s .
t $s /dev/null
t --type q3_k x.gguf
t --arch glm-5 x.gguf
t --type q8_0 --mix unsloth x.gguf
t --layers 0 x.gguf
t --kv f16 x.gguf
ls
