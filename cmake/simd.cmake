# SPDX-License-Identifier: MIT
# Flags per kernel level. Only the object libraries in src/kernels use them; everything else is plain x86-64.
include(CheckCCompilerFlag)
set(GLIM_X86 OFF)
if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64|amd64)$")
    set(GLIM_X86 ON)
endif()
set(GLIM_FLAGS_avx2 -mavx2 -mfma -mf16c -mbmi2)
set(GLIM_FLAGS_avx512v ${GLIM_FLAGS_avx2} -mavx512f -mavx512cd -mavx512bw -mavx512dq -mavx512vl -mavx512vnni -mprefer-vector-width=512)
set(GLIM_FLAGS_avx512bf ${GLIM_FLAGS_avx512v} -mavx512bf16)
set(GLIM_FLAGS_amx ${GLIM_FLAGS_avx512bf} -mamx-tile -mamx-bf16 -mamx-int8)
