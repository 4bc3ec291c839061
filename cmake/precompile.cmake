# Halves the compile time of the libraries, most of which is headers: for builds that are made to be tested and thrown away.
#
#   cmake -D CMAKE_PROJECT_wisp_INCLUDE=cmake/precompile.cmake ...
#
# Not for others: it hides an #include that is missing, and lets the compiler inline across sources of the warm path.
# Nor for a release build, whose targets differ in their flags and so cannot share a precompiled header.
function(wisp_precompile)
  target_precompile_headers(wisp_cold PRIVATE <wisp/runtime.hpp>)
  target_precompile_headers(wisp_core REUSE_FROM wisp_cold)
  wisp_unity(wisp_core 8)
  target_precompile_headers(wisp_sim REUSE_FROM wisp_cold)
endfunction()
cmake_language(DEFER CALL wisp_precompile)
