# What cannot be answered is said in one line; nothing goes to standard output.
t() { "$GLIM" run "$@" >out 2>err; echo "$? $(cat err)"; [ ! -s out ] || echo "wrote to standard output"; }
t -p "" </dev/null
t </dev/null
echo | t
printf 'a\377' | t
t -p "$(printf 'a\377')"
t -p x --system "$(printf '\377')"
t -p x --stop ""
t -p x --ctx 3
t -p x --ctx 1000000
t -p x -m nowhere.gguf
t -p x -m nowhere
t -p x --tools nowhere.json
t --messages nowhere.json
printf '[]' | t --messages -
printf '[{"role":"user","content":""}]' | t --messages -
printf '{"role":"user"}' | t --messages -
printf '[{"role":"user","content":5}]' | t --messages -
printf '[{"role":"user","content":"a",}]' | t --messages -
"$GLIM" run -p "Who are you?" >/dev/full 2>err; echo "$? $(tail -n 1 err)"
