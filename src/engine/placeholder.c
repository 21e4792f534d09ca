typedef int glim_engine_placeholder;
