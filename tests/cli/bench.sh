# The shape of the tables, never the speed. On a busy machine it says so on standard error.
short="--reps 1 --threads 1"
n() { sed -E 's/[0-9]+\.[0-9]+/N/g; s/  +/ /g; s/glim N\.[0-9]+, .*/glim VERSION, CPU/; s/.*, kernels .*/CPU, kernels LEVEL/; s/^disk, .*/disk/; s/ [MG]iB/ B/g'; }
"$GLIM" bench $short --prompt 16 --gen 4 --depth 64,0 --streams 2 --cpu ref 2>/dev/null | n
"$GLIM" bench $short --prompt 0 --gen 3 --kv f32 2>/dev/null | n
"$GLIM" bench $short --prompt 8 --gen 0 -o csv 2>/dev/null | sed -E 's/"[^"]*"/Q/g'
"$GLIM" bench $short -p 8,4 --gen 0 --reps 2 --chunk 3 -o json 2>/dev/null | tr , '\n' | grep -E '^"(n_batch|n_prompt)|^\[|^\]|samples' | sed -E 's/[0-9.]+$/N/'
"$GLIM" bench --machine --prompt 0 --gen 0 --threads 2 2>err | n; cat err
t() { "$GLIM" bench "$@" 2>&1; echo $?; }
t --prompt 0 --gen 0
t --prompt 1,,2
t --gen -1
t --streams 0
t --depth x
t --reps 0
t -o xml
t --prompt 5000
t --gen 100 --prompt 0 --streams 64
t -m nowhere
"$GLIM" run -o json -p x 2>&1; echo $?
GLIM_GEN=0 GLIM_REPS=1 "$GLIM" bench --prompt 2 -o json 2>/dev/null | grep -c '"n_prompt":2'
