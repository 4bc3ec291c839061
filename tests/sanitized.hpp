// What slows this build down, for tests that compare times.
//
//   constexpr double kTolerance = wisp::test::kSanitized ? 0.25 : 0.05;
//
// Threads: value.
#pragma once

namespace wisp::test {

#if defined(__has_feature)
#define WISP_TEST_FEATURE(name) __has_feature(name)
#else
#define WISP_TEST_FEATURE(name) 0
#endif

#if defined(__SANITIZE_THREAD__) || WISP_TEST_FEATURE(thread_sanitizer)
inline constexpr bool kThreadSanitized = true;
#else
inline constexpr bool kThreadSanitized = false;
#endif

#if defined(__SANITIZE_ADDRESS__) || WISP_TEST_FEATURE(address_sanitizer)
inline constexpr bool kSanitized = true;
#else
inline constexpr bool kSanitized = kThreadSanitized;
#endif

#undef WISP_TEST_FEATURE

#if defined(__OPTIMIZE__)
inline constexpr bool kOptimised = true;
#else
inline constexpr bool kOptimised = false;
#endif

}  // namespace wisp::test
