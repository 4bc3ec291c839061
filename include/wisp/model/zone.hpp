// What clocks on the wall show in a place: an offset from UTC that changes from time to time.
//
// Rules know no places: zones.hpp has those of the IANA database, and a host may have its own.
//
// Threads: any.
#pragma once

#include <chrono>
#include <string_view>

namespace wisp::inline v0 {

// An instant, and a reading of the wall clock in some zone: civil time, with days of 86,400 s.
using Instant = std::chrono::sys_seconds;
using CivilTime = std::chrono::local_seconds;

class Zone {
 public:
  // The offset from UTC from `begin` until before `end`; open ends are Instant::min() and max().
  struct Span {
    Instant begin;
    Instant end;
    std::chrono::seconds offset;
  };

  virtual ~Zone() = default;

  // The IANA name, as in "Europe/Lisbon".
  virtual std::string_view name() const = 0;

  // The span that holds `when`. Spans of one zone leave no gaps.
  virtual Span at(Instant when) const = 0;

  static const Zone& utc();
};

}  // namespace wisp::inline v0
