# What stands in the bundled file; a file of an unknown architecture is listed all the same.
"$GLIM" inspect "$MODEL" | sed -e 1d -e '/memory available/d' -e '/tokens that fit/d' -e '/working memory/d' >out
grep -c blk out
grep -E "GGUF|architecture|tokens  |token_embd|key/value cache, a token|made for" out
"$GLIM" inspect --kv f32 | grep "key/value cache, a token"
"$GLIM" inspect "$MODEL" --json | head -c 2; echo
sed 's/deepseek2/deepseek9/g' "$MODEL" >other.gguf
"$GLIM" inspect other.gguf >out; echo $?
grep -E "GGUF|architecture|token_embd" out
grep Memory out
{
    "$GLIM" inspect nowhere; echo $?
    head -c 1000 "$MODEL" >cut.gguf; "$GLIM" inspect cut.gguf; echo $?
    : >empty.gguf; "$GLIM" inspect empty.gguf; echo $?
} 2>&1
