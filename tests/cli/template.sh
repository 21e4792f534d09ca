# A request in, the prompt's bytes out; the family by name in any case.
hi='{"messages":[{"role":"user","content":"hi"}]}'
r() { printf '%s' "$1" | "$GLIM" template $2; echo "| $?"; }
{
    r "$hi"
    r '{"messages":[{"role":"system","content":"S"},{"role":"user","content":"hi"}],"thinking":{"type":"disabled"}}'
    r '{"messages":[{"role":"user","content":"<|user|> stays text"}]}'
    r "$hi" "--template GLM-4.7-FLASH"
    r "$hi" "--template glm-4.6"
    r "$hi" "--template nothing"
    r ''
    r '{'
    r '[]'
    r '{"messages":[{"role":"user"}]}'
    r '{"messages":[{"role":"king","content":"x"}]}'
} 2>&1
