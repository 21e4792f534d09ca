# Flag over environment over .env file over settings file over default, and who set what.
show() { "$GLIM" config show "$@" | grep -E "^(ctx|system|think|model|stop) "; }
show
mkdir -p "$HOME/.config/glim"
cat >"$HOME/.config/glim/glim.conf" <<'END'
# settings
ctx = 100
system = " be brief "
stop = one
stop = two
END
show
printf 'OTHER=x\nexport GLIM_CTX=200\nGLM_MODEL="from env file.gguf"\n' >.env
show
GLIM_ENV_FILE=.env show
GLIM_CTX=300 show --env-file .env
GLIM_CTX=300 show --env-file=.env --ctx 400 --stop three
GLM_MODEL=a.gguf GLIM_MODEL= show
XDG_CONFIG_HOME="$HOME/nothing" show
echo "think = on" >my.conf
show --config my.conf
GLIM_CONFIG=my.conf show
"$GLIM" config check
"$GLIM" config check my.conf
t() { printf "$1" >bad.conf; "$GLIM" config check bad.conf; echo $?; "$GLIM" run -p x --config bad.conf; echo $?; }
t 'ctx = 1\nctxx = 2\n' 2>&1
t '[server]\n' 2>&1
t '[route]\n' 2>&1
t 'batch = x\n' 2>&1
t 'prompt = hi\n' 2>&1
t 'ctx = many\n' 2>&1
"$GLIM" config check nowhere.conf 2>&1; echo $?
GLIM_CTX=many "$GLIM" run -p x 2>&1; echo $?
GLIM_CTX=many "$GLIM" version >/dev/null; echo $?
