# SPDX-License-Identifier: MIT
# What `cmake --install` puts where. In the units and the settings file the usual places are written; another prefix
# replaces them.
include(GNUInstallDirs)
set(GLIM_UNIT_DIR "lib/systemd/system" CACHE STRING "Folder of systemd's units, below the prefix")
set(GLIM_SYSUSERS_DIR "lib/sysusers.d" CACHE STRING "Folder of systemd's users, below the prefix")

install(TARGETS glim RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(FILES models/glim-demo.gguf DESTINATION ${CMAKE_INSTALL_DATADIR}/glim/models)
install(FILES doc/serving.md doc/cloud.md LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR})

set(installed ${CMAKE_BINARY_DIR}/installed)
foreach(file systemd/glim.service systemd/glim.socket glim.conf)
    file(READ dist/${file} text)
    string(REPLACE "/usr/bin/glim" "${CMAKE_INSTALL_FULL_BINDIR}/glim" text "${text}")
    string(REPLACE "/usr/share/doc/glim" "${CMAKE_INSTALL_FULL_DOCDIR}" text "${text}")
    string(REPLACE "/etc/glim" "${CMAKE_INSTALL_FULL_SYSCONFDIR}/glim" text "${text}")
    file(CONFIGURE OUTPUT ${installed}/${file} CONTENT "${text}" @ONLY)
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/dist/${file})
endforeach()
install(FILES ${installed}/systemd/glim.service ${installed}/systemd/glim.socket DESTINATION ${GLIM_UNIT_DIR})
install(FILES dist/sysusers.d/glim.conf DESTINATION ${GLIM_SYSUSERS_DIR})
# Settings that are there already stay as they are.
install(CODE "
    set(folder \"${CMAKE_INSTALL_FULL_SYSCONFDIR}/glim\")
    if(NOT EXISTS \"\$ENV{DESTDIR}\${folder}/glim.conf\")
        file(INSTALL \"${installed}/glim.conf\" DESTINATION \"\${folder}\")
    endif()")

# For programs that embed the engine or the client: headers, static libraries, and how to link them. Only static ones are made
# so far, so what they need in turn is always named.
set(pc_folder ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
file(RELATIVE_PATH pc_prefix /p/${pc_folder} /p)
function(glim_pc name summary requires libs)
    file(CONFIGURE OUTPUT ${CMAKE_BINARY_DIR}/installed/${name}.pc @ONLY CONTENT "# Paths are seen from this file, so that the tree may be moved.
prefix=\${pcfiledir}/${pc_prefix}
includedir=\${prefix}/${CMAKE_INSTALL_INCLUDEDIR}
libdir=\${prefix}/${CMAKE_INSTALL_LIBDIR}

Name: ${name}
Description: ${summary}
Version: ${PROJECT_VERSION}
Requires: ${requires}
Cflags: -I\${includedir} -pthread
Libs: -L\${libdir} ${libs} -pthread -lm
")
    install(FILES ${CMAKE_BINARY_DIR}/installed/${name}.pc DESTINATION ${pc_folder} COMPONENT development)
endfunction()
glim_pc(glim "GLM language models in a program of your own" "libpcre2-8 icu-uc libutf8proc" "-lglim")
glim_pc(glim-client "GLM language models behind other people's servers" "libcurl >= 7.88 libcrypto >= 3.0" "-lglim-client")
install(TARGETS glim_engine_static glim_client_static ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT development)
install(DIRECTORY include/glim DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT development)
