# Halves the compile time of the libraries, most of which is headers: for builds that are made to be tested and thrown away.
#
#   cmake -D CMAKE_PROJECT_wisp_INCLUDE=cmake/precompile.cmake ...
#
# Not for others: it hides an #include that is missing, and lets the compiler inline across sources of the warm path.
function(wisp_precompile target header)
  if(TARGET ${target})
    target_precompile_headers(${target} PRIVATE ${header})
    wisp_unity(${target} 8)
  endif()
endfunction()
cmake_language(DEFER CALL wisp_precompile wisp_core <wisp/runtime.hpp>)
cmake_language(DEFER CALL wisp_precompile wisp_cold <wisp/runtime.hpp>)
cmake_language(DEFER CALL wisp_precompile wisp_sim <wisp/sim/world.hpp>)
cmake_language(DEFER CALL wisp_precompile wisp_json <wisp/json/json.hpp>)
cmake_language(DEFER CALL wisp_precompile wisp_http <wisp/http/gateway.hpp>)
