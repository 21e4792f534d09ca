# glim cloud and --where as far as no server is needed: wrong lines, wrong files, no key. Nothing may be sent: the address
# is one where nobody listens.
export GLIM_BASE_URL=http://127.0.0.1:1/api/paas/v4 GLIM_RETRIES=0
t() { "$GLIM" "$@" </dev/null >out 2>err; echo "$? $(wc -l <err) $(cat err)"; [ ! -s out ] || echo "wrote to standard output"; }
echo "-- verbs"
t cloud
t cloud files
t cloud caht
t cloud files lst
t cloud files list more
t cloud raw GET
t cloud ""
t cloud "files list"
echo "-- options"
t cloud --size 1x1 chat -p x
t cloud chat --size 1x1 -p x
t cloud --provider nobody models
t cloud models --api-key secret
t run --size 1x1
t cloud files upload x.jsonl
t cloud files get file-1
t cloud rerank
t cloud chat -p x --field 5
t cloud raw GE-T /files
t cloud raw POST /files -d '{}' -F a=b
t cloud raw POST /files -d '{'
t cloud raw POST /files -d '5'
t cloud raw POST /files -d @nowhere.json
t cloud raw POST /files -F file=@nowhere
t cloud image ""
t cloud image "$(printf '\377')"
echo "-- files stay"
echo mine >there.png
ln -s nowhere dangling.png
t cloud image x -o there.png
t cloud image x -o dangling.png
t cloud image x -o .
t cloud image x -o -
t cloud image x -o nofolder/x.png
t cloud image x -o a.png --out-dir .
t cloud image x --out-dir nofolder
t cloud files get file-1 -o there.png
cat there.png
echo "-- pictures"
echo text >text.png
t cloud chat -p x --image nowhere.png
t cloud chat -p x --image text.png
t cloud chat --messages m.json --image text.png
printf '[{"role":"user","content":[{"type":"image_url"},5]}]' >m.json
t cloud chat --messages m.json
echo "-- keys"
t cloud models
t cloud --provider openai --base-url https://api.openai.com/v1 models
echo key >loose.key; chmod 644 loose.key
t cloud models --key-file loose.key
t cloud models --key-file nowhere.key
echo 'ZHIPUAI_API_KEY' >bad.env
t cloud --env-file bad.env models
echo "-- who answers"
GLM_FLASH_ENABLED=maybe t run -p x
USE_NPU=2 GLM_FLASH_ENABLED=true t run -p x
GLM_FLASH_ENABLED=true USE_NPU=False t run -p x
GLM_FLASH_ENABLED=1 USE_NPU=off t chat
t run --where elsewhere -p x
t run --where cloud --ctx 64 -p x
t run --where cloud --raw -p x
t run --where local --provider openai -p x
t run --provider openai -p x
ZHIPUAI_API_KEY=a.b GLM_FLASH_ENABLED=true USE_NPU=false t run -m "$MODEL" -p x
ZHIPUAI_API_KEY=a.b t cloud --provider Ollama --base-url http://127.0.0.1:1 models
echo "-- a server that is not there"
export ZHIPUAI_API_KEY=a.b
t cloud models
t run --where cloud -p x
t cloud chat -p x --top-k 5
t cloud chat -p x --temperature 1.5
