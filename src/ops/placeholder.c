typedef int glim_ops_placeholder;
