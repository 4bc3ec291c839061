# wisp_add_functions(<target> <file>...)
#
# Compiles files that declare functions with WISP_FUNCTION and sees to it that they are in the program:
#
#   add_library(billing STATIC invoice.cpp)
#   wisp_add_functions(billing price_parcel.cpp refund.cpp)
#   target_link_libraries(server PRIVATE billing)       # price_parcel and refund are in the server
#
# Nobody refers to a declared function by symbol, so a linker that searches a static archive leaves its object out, and the
# function is missing without a word. The helper therefore compiles the files into an OBJECT library. A program or a shared
# library takes the objects as its own; a static library hands them to whatever links it, because inside the archive they
# would be dropped after all.
#
# The files see the include directories, definitions, options and libraries of <target>, as if they were its own sources.
# A static library with functions cannot be installed: its objects live in the build tree.
function(wisp_add_functions target)
  if(NOT TARGET ${target})
    message(FATAL_ERROR "wisp_add_functions: there is no target '${target}'; add it before its functions")
  endif()
  if(NOT ARGN)
    message(FATAL_ERROR "wisp_add_functions: '${target}' got no files")
  endif()
  set(files)
  foreach(file IN LISTS ARGN)
    cmake_path(ABSOLUTE_PATH file NORMALIZE OUTPUT_VARIABLE path)
    get_source_file_property(generated "${path}" GENERATED)
    if(NOT generated AND NOT EXISTS "${path}")
      message(FATAL_ERROR "wisp_add_functions: '${target}' names a file that does not exist: ${path}")
    endif()
    list(APPEND files "${path}")
  endforeach()

  set(objects ${target}_functions)
  if(TARGET ${objects})  # a second call for the same target
    target_sources(${objects} PRIVATE ${files})
    return()
  endif()
  add_library(${objects} OBJECT ${files})
  set_target_properties(${objects} PROPERTIES POSITION_INDEPENDENT_CODE ON)
  target_link_libraries(${objects} PRIVATE wisp::core $<TARGET_PROPERTY:${target},LINK_LIBRARIES>)
  target_include_directories(${objects} PRIVATE $<TARGET_PROPERTY:${target},INCLUDE_DIRECTORIES>)
  target_compile_definitions(${objects} PRIVATE $<TARGET_PROPERTY:${target},COMPILE_DEFINITIONS>)
  target_compile_options(${objects} PRIVATE $<TARGET_PROPERTY:${target},COMPILE_OPTIONS>)
  target_compile_features(${objects} PRIVATE $<TARGET_PROPERTY:${target},COMPILE_FEATURES>)

  get_target_property(type ${target} TYPE)
  if(type MATCHES "EXECUTABLE|SHARED_LIBRARY|MODULE_LIBRARY")
    target_sources(${target} PRIVATE $<TARGET_OBJECTS:${objects}>)
    target_link_libraries(${target} PRIVATE wisp::core)
  else()
    target_link_libraries(${target} INTERFACE $<TARGET_OBJECTS:${objects}> wisp::core)
  endif()
endfunction()
