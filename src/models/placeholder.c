typedef int glim_models_placeholder;
