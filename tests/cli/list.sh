# Models by name: every kind of folder, a split file once, damaged ones too; names where a model is asked for.
here=$(pwd -P); tiny="$CLI/../golden/models/glm-lite-small"
mkdir -p models/tiny models/notes one two
cp "$tiny/config.json" "$tiny/model.safetensors" "$tiny/tokenizer.json" models/tiny
echo hello >models/notes/readme
ln -s "$MODEL" "models/second way.gguf" # the bundled one again
head -c 1000 "$MODEL" >models/cut.gguf
for f in big-00001-of-00002 big-00002-of-00002 big-00001-of-00003; do cp models/cut.gguf models/$f.gguf; done
cp models/cut.gguf models/half-00002-of-00002.gguf
: >models/.hidden.gguf; : >models/other.bin
sed 's/deepseek2/deepseek9/g' "$MODEL" >one/strange.gguf
cp "$tiny/model.gguf" one/twice.gguf; cp "$tiny/model.gguf" two/twice.gguf
hub="$HOME/.cache/huggingface/hub/models--acme--Small-Model"
mkdir -p "$hub/refs" "$hub/blobs" "$hub/snapshots/new" "$hub/snapshots/old" "$HOME/.cache/huggingface/hub/datasets--x--y"
printf new >"$hub/refs/main"
for f in config.json model.safetensors tokenizer.json; do
    cp "$tiny/$f" "$hub/blobs/$f"; ln -s "../../blobs/$f" "$hub/snapshots/new/$f"; cp "$tiny/$f" "$hub/snapshots/old/$f"
done
cp "$tiny/model.gguf" "$hub/snapshots/new/Small-Q8.gguf"
export GLIM_MODELS="$here/one::$here/two:$here/missing"
only() { sed "s|$here|FOLDER|g" | grep -E "FOLDER|path|tiny|models/|glim-demo.gguf" | sed 's/  */ /g'; }
"$GLIM" list 2>err | only; cat err
"$GLIM" list --json 2>/dev/null | tr '{' '\n' | grep -cE '^"name":"(twice|cut|strange|acme/Small-Model)","kind":"(chat|damaged|unknown)","architecture":.*,"size":[0-9]+,"path":'
"$GLIM" list --json 2>/dev/null | tr '{' '\n' | grep '"cut"'
unset GLIM_MODELS
size() { "$GLIM" inspect "$@" 2>&1 | sed -n 2p; }
size -m tiny; size TINY; size acme/small-model; size Small-Model; size Small-Q8; size glim-demo; size ./models/tiny
GLIM_MODEL=Small-Q8 size
HF_HOME=nowhere "$GLIM" inspect Small-Q8 2>&1; echo $?
export GLIM_MODELS=one:two
"$GLIM" inspect twice 2>&1; echo $?
"$GLIM" tokenize -m strange.gguf x 2>&1; echo $?
size one/twice.gguf
"$GLIM" list extra 2>&1; echo $?
