// Version, compiler floor and feature switches.
//
// Threads: value.
#pragma once

#include <version>

#define WISP_VERSION_MAJOR 0
#define WISP_VERSION_MINOR 1
#define WISP_VERSION_PATCH 0
#define WISP_VERSION "0.1.0"

#if __cplusplus < 202002L
#error "wisp needs C++20: g++ 12 or clang 16 with -std=c++20"
#endif
#if defined(__GNUC__) && !defined(__clang__) && __GNUC__ < 12
#error "wisp needs g++ 12 or later"
#endif
#if !defined(__linux__)
#error "wisp waits on futexes and reads /proc: it runs on Linux only"
#endif

// Whether this translation unit may throw. Objects with and without exceptions link into one
// program, so whatever depends on this switch must live in the inline namespace
// WISP_EXCEPTIONS_NAMESPACE, and so must every template that instantiates it: otherwise both spell
// one symbol and the linker keeps either. A member template takes WISP_EXCEPTIONS as a parameter.
#if defined(__cpp_exceptions) || defined(__EXCEPTIONS)
#define WISP_EXCEPTIONS 1
#define WISP_EXCEPTIONS_NAMESPACE with_exceptions
#else
#define WISP_EXCEPTIONS 0
#define WISP_EXCEPTIONS_NAMESPACE without_exceptions
#endif
