# Wrong command lines: one line each, exit status 2, a hint where to look.
t() { "$GLIM" "$@" </dev/null >out 2>err; echo "$? $(wc -l <err) $(cat err)"; [ ! -s out ] || echo "wrote to standard output"; }
t rnu
t nothing-like-it
t -p hello
t --prompt hello
t run --foo
t run --temprature 1
t run --temperature
t run --temperature warm
t run --temperature=3
t run --top-p 0
t run -n 0 -p x
t run -n0 -p x
t run -x
t run hello
t run --top 3
t run --think perhaps -p x
t run --kv f8 -p x
t run --cpu mmx -p x
t run --json=perhaps
t run --raw --think on -p x
t run --messages m.json -p x
t run --messages - --tools -
t tokenize a b
t config
t config frobnicate
t config show more
t logits
t help nothing
t inspect --all
"$GLIM" >out 2>err; echo "$? without a command"; head -n 1 err; [ ! -s out ] || echo "wrote to standard output"
