# tokenize and detokenize are inverses; special tokens only when asked for.
"$GLIM" tokenize "Hello, 世界"
"$GLIM" tokenize "😀"
"$GLIM" tokenize "<|user|>hi"
"$GLIM" tokenize --special "<|user|>hi"
printf 'a\n' | "$GLIM" tokenize
printf '' | "$GLIM" tokenize
"$GLIM" tokenize ""
"$GLIM" tokenize -- --special
printf '[5091, 2407]' | "$GLIM" detokenize; echo
printf ' 5091\n2407\t' | "$GLIM" detokenize; echo
printf '' | "$GLIM" detokenize
for s in "plain" "  blanks  and	tabs " "混合 mixed 文字 123" "🏳️‍🌈 é" "line
line"; do
    printf '%s' "$s" >in
    "$GLIM" tokenize <in | sed 's/.*"tokens":\(\[[^]]*\]\).*/\1/' | "$GLIM" detokenize >back
    cmp in back && echo same
done
t() { printf "$1" | "$GLIM" $2; echo $?; }
{
    t 'a\377b' tokenize
    t '[1,2' detokenize
    t '[1,"2"]' detokenize
    t '[1.5]' detokenize
    t '1 x' detokenize
    t '5120' detokenize
    t '[-1]' detokenize
    t '[99999999999]' detokenize
    t '1\0002' detokenize
    "$GLIM" tokenize -m nowhere x; echo $?
    "$GLIM" tokenize -m nowhere.gguf x; echo $?
    "$GLIM" tokenize -m "" x; echo $?
    echo text >file; "$GLIM" tokenize -m file x; echo $?
    mkdir folder; "$GLIM" tokenize -m folder x; echo $?
} 2>&1
