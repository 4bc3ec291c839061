// All of wisp's core.
//
//   #include <wisp/wisp.hpp>
//   using namespace wisp::literals;
//
// Threads: value.
#pragma once

#include <chrono>

#include <wisp/base/config.hpp>
#include <wisp/base/fields.hpp>
#include <wisp/base/money.hpp>
#include <wisp/base/status.hpp>
#include <wisp/cost_watch.hpp>
#include <wisp/engine/focus.hpp>
#include <wisp/model/batch.hpp>
#include <wisp/model/declare.hpp>
#include <wisp/model/pattern.hpp>
#include <wisp/model/stateful.hpp>
#include <wisp/model/tariff.hpp>
#include <wisp/runtime.hpp>

namespace wisp::inline v0 {

// The units that options are written in: 200ms, 2s, 24h.
namespace literals {
using namespace std::chrono_literals;
}

}  // namespace wisp::inline v0
