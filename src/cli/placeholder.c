typedef int glim_cli_placeholder;
