// Many content patterns at once: which of them match an event.
//
//   ContentSet patterns;
//   const int number = patterns.add(*compiled);
//   ContentSet::Scratch scratch;                       // one for each thread, used again
//   for (const int each : patterns.match(event, scratch)) ...
//
// What the event holds is looked up in the patterns, not each pattern in the event: the cost hardly
// grows with their number as long as they ask for texts, numbers, prefixes and suffixes. Fields
// that ask for something else are tried one by one where the event has that field; a pattern that
// asks for nothing but absence or alternatives is tried by itself.
//
// Threads: one-at-a-time for add(); match() any, each with a Scratch of its own.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include <wisp/base/value.hpp>
#include <wisp/model/content_pattern.hpp>

namespace wisp::inline v0 {

namespace detail {
struct ContentIndex;
}  // namespace detail

class ContentSet {
 public:
  ContentSet();
  ~ContentSet();
  ContentSet(const ContentSet&) = delete;
  ContentSet& operator=(const ContentSet&) = delete;

  // Its number: 0, 1, 2, …
  int add(const ContentPattern& pattern);

  class Scratch {
   private:
    friend class ContentSet;
    friend struct detail::ContentIndex;
    std::vector<std::uint64_t> found_;   // by pattern, which of its fields
    std::vector<std::uint32_t> stamps_;  // by pattern, the event that found_ is of
    std::uint32_t stamp_ = 0;
    std::vector<std::uint64_t> looked_;  // by field of the patterns, the last object that had it
    std::uint64_t objects_ = 0;
    std::vector<int> candidates_;
    std::vector<int> matched_;
  };
  // The numbers of those that match, in rising order; valid until the next call with `scratch`.
  const std::vector<int>& match(const Value& event, Scratch& scratch) const;

 private:
  std::unique_ptr<detail::ContentIndex> index_;
};

}  // namespace wisp::inline v0
