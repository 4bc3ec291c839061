# Halves the compile time of the copy that mutants are tried on: most of it is headers.
cmake_language(DEFER CALL target_precompile_headers wisp_core PRIVATE <wisp/runtime.hpp>)
cmake_language(DEFER CALL target_precompile_headers wisp_sim PRIVATE <wisp/sim/world.hpp>)
cmake_language(DEFER CALL target_precompile_headers wisp_test_promises PRIVATE
  <wisp/wisp.hpp> <wisp/sim/world.hpp> "${CMAKE_CURRENT_SOURCE_DIR}/tests/catch.hpp")
# It includes Catch2 in a way of its own.
cmake_language(DEFER CALL set_source_files_properties
  "${CMAKE_CURRENT_SOURCE_DIR}/tests/promises/replay_test.cpp" TARGET_DIRECTORY wisp_test_promises PROPERTIES SKIP_PRECOMPILE_HEADERS ON)
