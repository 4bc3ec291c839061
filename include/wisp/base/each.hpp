// What WISP_FIELDS and WISP_ENUM go over their lists with.
//
// Threads: value.
#pragma once

// Applies `macro` to each argument, commas between. Source: recursion by __VA_OPT__ as in David
// Mazières, "Recursive macros with C++20 __VA_OPT__" (2021). 64 rescans bound the list.
#define WISP_DETAIL_PARENS ()
#define WISP_DETAIL_RESCAN(...) \
  WISP_DETAIL_R3(WISP_DETAIL_R3(WISP_DETAIL_R3(WISP_DETAIL_R3(__VA_ARGS__))))
#define WISP_DETAIL_R3(...) \
  WISP_DETAIL_R2(WISP_DETAIL_R2(WISP_DETAIL_R2(WISP_DETAIL_R2(__VA_ARGS__))))
#define WISP_DETAIL_R2(...) \
  WISP_DETAIL_R1(WISP_DETAIL_R1(WISP_DETAIL_R1(WISP_DETAIL_R1(__VA_ARGS__))))
#define WISP_DETAIL_R1(...) __VA_ARGS__
#define WISP_DETAIL_EACH(macro, ...) \
  __VA_OPT__(WISP_DETAIL_RESCAN(WISP_DETAIL_EACH_STEP(macro, __VA_ARGS__)))
#define WISP_DETAIL_EACH_STEP(macro, first, ...) \
  macro(first) __VA_OPT__(, WISP_DETAIL_EACH_AGAIN WISP_DETAIL_PARENS(macro, __VA_ARGS__))
#define WISP_DETAIL_EACH_AGAIN() WISP_DETAIL_EACH_STEP
