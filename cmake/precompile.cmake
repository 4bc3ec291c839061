# Makes the build of all of wisp several times as fast, most of which is headers: they are precompiled, and sources compiled
# a few at a time. For builds that are made to be tested and thrown away.
#
#   cmake -D CMAKE_PROJECT_wisp_INCLUDE=cmake/precompile.cmake ...
#
# Not for others: it hides an #include that is missing, and compiles more than what has changed.
# Sources with options of their own would be compiled by themselves.
function(wisp_forget_cold_sources)
  set_property(SOURCE ${cold_sources} PROPERTY COMPILE_OPTIONS)
endfunction()
cmake_language(DEFER CALL wisp_forget_cold_sources)

function(wisp_precompile target header)
  if(TARGET ${target})
    target_precompile_headers(${target} PRIVATE ${header})
    set_target_properties(${target} PROPERTIES UNITY_BUILD ON UNITY_BUILD_BATCH_SIZE 8)
  endif()
endfunction()
cmake_language(DEFER CALL wisp_precompile wisp_core <wisp/runtime.hpp>)
cmake_language(DEFER CALL wisp_precompile wisp_sim <wisp/sim/world.hpp>)
cmake_language(DEFER CALL wisp_precompile wisp_json <wisp/json/json.hpp>)
cmake_language(DEFER CALL wisp_precompile wisp_http <wisp/http/gateway.hpp>)
