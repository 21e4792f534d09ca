# SPDX-License-Identifier: MIT
# glim_unit_test(room file...): one cmocka program per source, linked to every room with internals visible.
function(glim_unit_test room)
    foreach(src ${ARGN})
        get_filename_component(stem ${src} NAME_WE)
        set(target unit_${room}_${stem})
        add_executable(${target} ${src})
        target_link_libraries(${target} PRIVATE glim_test_support glim_all_static PkgConfig::CMOCKA)
        target_compile_definitions(${target} PRIVATE GLIM_SOURCE_DIR="${CMAKE_SOURCE_DIR}")
        target_include_directories(${target} PRIVATE ${CMAKE_SOURCE_DIR}/tests/support)
        add_test(NAME ${room}/${stem} COMMAND ${target})
        set_tests_properties(${room}/${stem} PROPERTIES LABELS "quick;unit;${room}" TIMEOUT 600)
    endforeach()
endfunction()
