# What can be wrong before a server serves. A server that does: tests/sdk, tests/load.
t() { "$GLIM" serve --log error "$@" </dev/null 2>&1; echo $?; }
t --port 70000
t --port x
t --listen nonsense
t --listen 127.0.0.1:99999
t --host 0.0.0.0 --port 0
t --listen '[::]:0'
t --parallel 0
t --parallel 1000
t --queue -1
t --api-key-file nowhere
: >empty; t --api-key-file empty
t --api-key ''
t -m nowhere.gguf
printf 'GGUFxxxx' >broken.gguf; t -m broken.gguf --port 0 | sed 's/:[0-9]*$/:N/'
t --ctx 100000000 --port 0 | sed 's/:[0-9]*$/:N/;s/[0-9.]* GiB/N GiB/g;s/--ctx [0-9]* would/--ctx N would/;s/use --ctx [0-9]*/use --ctx N/'
API_PORT=nonsense t
t extra
t -m a.gguf -m b.gguf
