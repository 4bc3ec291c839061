// What is done where nobody could handle an exception, and which may want memory.
//
//   if (!has_memory([&] { buckets.push_back(bucket); })) return false;   // tried again later
//
// Threads: any.
#pragma once

#include <new>

#include <wisp/base/config.hpp>

namespace wisp::inline v0::detail {
inline namespace WISP_EXCEPTIONS_NAMESPACE {

// False: std::bad_alloc ended it.
template <class Body>
bool has_memory(const Body& body) {
#if WISP_EXCEPTIONS
  try {
    body();
  } catch (const std::bad_alloc&) {
    return false;
  }
#else
  body();
#endif
  return true;
}

}  // namespace WISP_EXCEPTIONS_NAMESPACE
}  // namespace wisp::inline v0::detail
