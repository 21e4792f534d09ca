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
