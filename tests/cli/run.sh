# Answers of the bundled model; parity mode, so that they are the same on every machine.
run() { "$GLIM" run --cpu ref --kv f32 --temperature 0 "$@"; }
run -p "Who are you?" --think off; echo "| $?"
run -p "Who are you?" 2>thought; echo "| $?"; cat thought
echo "Who are you?" | run --think off; echo "| $?"
printf 'Who are you?' | run --think=off --prompt "What is the capital of France?"; echo "| $?"
run -p "What is your name?" --system "Your name is Bolt." --think off; echo "| $?"
run -p "Who are you?" --think off -n 3; echo "| $?"
run -p "Who are you?" --think off --stop "very" --stop "nothing"; echo "| $?"
run --raw -p "[gMASK]<sop><|user|>Who are you?<|assistant|></think>"; echo "| $?"
run -p "Who are you?" --think off --threads 1 >one; run -p "Who are you?" --think off --threads 2 | cmp - one
"$GLIM" run -p "Tell me a story." --seed 7 --temperature 1 --think off >one
"$GLIM" run -p "Tell me a story." --seed 7 --temperature 1 --think off | cmp - one
