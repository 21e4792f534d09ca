# Length of chunks, short texts, bad options; the figure itself is compared with logits in test_cli.py.
for i in 1 2 3 4 5 6 7 8; do echo "The fox sees a bird by the river and says hello, number $i."; done >text
"$GLIM" perplexity -f text --ctx 32 --kv f32 --cpu ref | sed 's/\.[0-9]*$/.N/'
"$GLIM" perplexity -f - --ctx 64 --threads 1 <text 2>err | sed '$s/[0-9.]*$/N/;s/^error .*/error N/'; tail -n 1 err | sed 's/ppl [0-9.]*/ppl N/'
t() { "$GLIM" perplexity "$@" 2>&1; echo $?; }
t
t -f text
t -f text --ctx 2
t -f text --ctx 5000
t -f nowhere
t -f text --top 3
printf 'a\377' >bad; t -f bad
t -f - </dev/null
