# Log-probabilities and greedy continuation in parity mode.
l() { "$GLIM" logits --cpu ref "$@" | sed 's/\(-[0-9]*\.[0-9]\{3\}\)[0-9]*/\1/g'; }
echo "[5086,5088,5091,1024]" >t.json
l --tokens t.json --top 2
l --tokens - --top 1 --all <t.json
l --tokens t.json --top 0 --greedy 4
l --tokens t.json --top 2 --mla absorbed >a; l --tokens t.json --top 2 --mla expanded | cmp - a
l --tokens t.json --top 2 --all --chunk 1 >a; l --tokens t.json --top 2 --all --chunk 3 | cmp - a
"$GLIM" logits --tokens t.json --top 1 --full | tr ',' '\n' | wc -l
{
    echo "[]" | l --tokens -
    echo "[5120]" | "$GLIM" logits --tokens -; echo $?
    echo "[1,-1]" | "$GLIM" logits --tokens -; echo $?
    echo "1 2" | "$GLIM" logits --tokens -; echo $?
    "$GLIM" logits --tokens nowhere; echo $?
    echo "[1,2,3]" | "$GLIM" logits --tokens - --ctx 2; echo $?
    echo "[1,2,3]" | "$GLIM" logits --tokens - --ctx 4 --greedy 5 --top 0; echo $?
} 2>&1
