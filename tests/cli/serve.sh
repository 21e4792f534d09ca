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
t --tls-cert cert.pem
t --tls-key key.pem
GLIM_TLS_CERT=cert.pem t
for o in app.example.org app.example.org/x https://app.example.org/ https://app.example.org/x 'https://u@app.example.org' https:// \
    https://App.example.org https://app.example.org:443 http://app.example.org:80 https://app.example.org:0 https://app.example.org:65536 \
    https://app.example.org: 'https://[::1' 'https://[]' 'https://a b' file:// null ''; do t --cors "$o"; done
# Right ones: the next thing that is wrong is told.
for o in '*' https://app.example.org http://localhost:3000 http://app.example.org:443 'http://[::1]:3000' chrome-extension://abcdef \
    capacitor://localhost; do t --cors "$o" -m nowhere.gguf; done
t --key-rate x
t --key-rate -1
t --key-concurrent 1000001
printf 'secret rate=x\n' >keys; chmod 600 keys; t --api-key-file keys
t --served-model-name ''
GLM_MODEL=glm-4-9b-chat API_PORT=8900 t
t --listen http://0.0.0.0:0
t --listen https://0.0.0.0:0
t --listen https://127.0.0.1:0
