# Thought, answer and calls; the same for every way of cutting.
cat >tools.json <<'END'
[{"type":"function","function":{"name":"get_weather","parameters":{"type":"object","properties":{"city":{"type":"string"},"days":{"type":"integer"}}}}}]
END
call='I look.</think>Right away.<tool_call>get_weather<arg_key>city</arg_key><arg_value>Paris</arg_value><arg_key>days</arg_key><arg_value>3</arg_value></tool_call>'
printf '%s' "$call" | "$GLIM" parse --start reasoning --tools tools.json >whole
cat whole
for n in 1 2 3 5 7 11 64; do
    printf '%s' "$call" | "$GLIM" parse --start reasoning --tools tools.json --chunk $n | cmp - whole
done
printf '%s' "$call" | "$GLIM" parse --start reasoning
printf 'plain' | "$GLIM" parse --start content
printf '<think>t</think>c' | "$GLIM" parse
printf 'no thought' | "$GLIM" parse
printf '' | "$GLIM" parse
{
    printf 'x' | "$GLIM" parse --tools nowhere.json; echo $?
    echo '{' >bad.json; printf 'x' | "$GLIM" parse --tools bad.json; echo $?
    printf 'x' | "$GLIM" parse -m nowhere.gguf; echo $?
    printf 'x' | "$GLIM" parse --start middle; echo $?
} 2>&1
