# Warnings for wisp's own targets. PRIVATE and set one target at a time, so that none reaches a user's build.
function(wisp_warnings target)
  target_compile_options(${target} PRIVATE
    -Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor -Woverloaded-virtual -Wextra-semi
    -Wconversion -Wno-sign-conversion
    # Options are set by designated initialisers: what is left out has its default.
    -Wno-missing-field-initializers
    $<$<CXX_COMPILER_ID:Clang>:-Wno-missing-designated-field-initializers>
    # g++ 12 warns of every std::string + text that it inlines (GCC bug 105651).
    $<$<AND:$<CXX_COMPILER_ID:GNU>,$<VERSION_LESS:$<CXX_COMPILER_VERSION>,13>>:-Wno-restrict>
    $<$<CXX_COMPILER_ID:Clang>:-Wthread-safety>
    $<$<BOOL:${WISP_WERROR}>:-Werror>)
endfunction()
