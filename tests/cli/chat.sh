# Without a terminal: a line in, an answer out; commands on lines of their own.
cat >in <<'END'
My name is Anna.

What is my name?
/think
/think off
/think sometimes
/system Your name is Bolt.
What is your name?
/reset
/nothing
//slash is text
/quit
never read
END
"$GLIM" chat --cpu ref --kv f32 --temperature 0 --think off <in
echo "| $?"
printf 'Who\\\nare you?' | "$GLIM" chat --cpu ref --kv f32 --temperature 0 --think off
echo "| $?"
printf 'a\377\nWhat is the capital of France?\n' | "$GLIM" chat --cpu ref --kv f32 --temperature 0 --think off
echo "| $?"
printf 'What is the capital of France?\n' | "$GLIM" chat --ctx 5
echo "| $?"
ls -A "$HOME" # nothing is kept of what no person typed
