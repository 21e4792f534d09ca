# Embedding models: vectors, keywords, ranking; what they are called and how they are refused elsewhere.
exec 2>&1
golden="$CLI/../golden"; mkdir -p models/tiny-ernie models/tiny-ranker
for f in config.json model.safetensors; do
    ln -s "$golden/encoders/ernie/$f" "models/tiny-ernie/$f"; ln -s "$golden/encoders/xlm-roberta-reranker/$f" "models/tiny-ranker/$f"
done
ln -s "$golden/tokenizer/wordpiece-cased/tokenizer.json" models/tiny-ernie
ln -s "$golden/tokenizer/sp-unigram-xlmr/sentencepiece.bpe.model" models/tiny-ranker
short() { sed -E 's/(-?[0-9]+\.[0-9]{3})[0-9]*/\1/g' | cut -c1-90; }
embed() { "$GLIM" embed -m tiny-ernie --cpu ref "$@"; }
embed "one text" | short
echo '["one text", "", [2, 24, 3]]' >three.json
embed <three.json | short
embed --pooling cls --normalize on <three.json | short
embed <three.json >a; embed -t 3 <three.json >b; cmp a b
echo '[]' | embed
{ printf '["'; i=0; while [ $i -lt 70 ]; do printf 'a '; i=$((i + 1)); done; printf '"]'; } >long.json
embed <long.json; echo $?
embed --truncate on <long.json | short
echo '["a b c d e f g h"]' | embed --ctx 6; echo $?
echo '["a b c d e f g h"]' | embed --ctx 6 --truncate on | short
embed --ctx 65 x; echo $?
echo '[[2, 5, 3000]]' | embed; echo $?
echo '[2, 5, 3]' | embed; echo $?
echo '[[2, 3], []]' | embed; echo $?
echo '"text"' | embed; echo $?
"$GLIM" embed x; echo $?
"$GLIM" embed -m glim-demo x; echo $?
echo "4月25日，周鸿祎微博发文，称今天在北京车展试了试智界S7，我今天就是坐M9来的。" >text
printf '华为\n周鸿祎\r\n\n 智界 \n360\ns7\n' >words
keyword() { "$GLIM" keyword -m tiny-ranker --cpu ref "$@" <text; }
keyword --vocab words
echo '["周鸿祎", "智界", "北京", "s7"]' >words.json
keyword --vocab words.json --top 2 --mmr --maxsum --diversity 0.7
keyword --top 3
keyword --vocab words --top 0; echo $?
keyword --diversity 2; echo $?
keyword --vocab nowhere; echo $?
: >none; keyword --vocab none; echo $?
rank() { "$GLIM" rerank -m tiny-ranker --cpu ref "$@"; }
echo '["巴黎是法国的首都。", "Cats sleep."]' >documents
rank --query "法国的首都是哪里？" <documents | short
rank <documents; echo $?
echo '["a", 5]' | rank --query q; echo $?
"$GLIM" rerank -m tiny-ernie --query q <documents; echo $?
"$GLIM" list | sed -E 's/  +/ /g; s|/.*/models|models|' | grep tiny
"$GLIM" list --json | tr '{' '\n' | grep -oE '"name":"tiny-[a-z]*","kind":"[a-z]*","architecture":"[a-z-]*"'
"$GLIM" inspect tiny-ranker | sed -n '/^Encoder/,$p' | grep -v "working memory"
"$GLIM" inspect --json tiny-ernie | grep -o '"plan".*' | sed -E 's/"scratch_bytes":[0-9]+/"scratch_bytes":N/'
"$GLIM" tokenize -m tiny-ernie "Hello, 世界"
"$GLIM" tokenize -m tiny-ernie --special "[CLS]x"
echo '[1]' | "$GLIM" detokenize -m tiny-ernie; echo $?
echo '{"messages":[{"role":"user","content":"x"}]}' | "$GLIM" template -m tiny-ernie --template glm-4.7-flash; echo $?
"$GLIM" run -m tiny-ernie -p x; echo $?
"$GLIM" chat -m tiny-ernie; echo $?
echo '[1]' | "$GLIM" logits -m tiny-ranker --tokens -; echo $?
