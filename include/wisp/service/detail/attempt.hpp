// One attempt of a call or a delivery: what it runs under, and how it ended.
//
// Threads: value.
#pragma once

#include <cstdint>
#include <memory>

#include <wisp/base/clock.hpp>
#include <wisp/base/id.hpp>
#include <wisp/base/status.hpp>
#include <wisp/engine/detail/span.hpp>
#include <wisp/engine/meter.hpp>
#include <wisp/model/event.hpp>
#include <wisp/service/detail/versions.hpp>

namespace wisp::inline v0::detail {

struct ActiveFrame;
class CallNode;
class Cancellation;
struct FunctionState;
class Route;

// What it runs, and under what.
struct AttemptRules {
  FunctionState& function;
  int line;
  const void* in;
  void* result;
  const Lineage* lineage;
  EventId event;
  Deadline deadline;
  int attempt;
  Cancellation* cancellation;
  const Route* route;
  ActiveFrame* parent;           // whose cancellation counts too
  std::uint64_t accepted_ticks;  // 0: did not wait
  CallNode* node;                // of a started call
  bool on_executor = false;      // a task of the executor
  Route* token = nullptr;        // under one of its tokens
  int items = 0;                 // of a batch: those whose first attempt it is
  // Which version: that of the attempt before, null for the first; or, before the first attempt,
  // chosen by this and kept there. Without it chosen for each attempt.
  std::shared_ptr<const RunVersion>* version = nullptr;
  ChosenBy chosen_by{};
  bool shadow = false;  // on `version`, apart from its function's calls
};

struct AttemptEnded {
  Outcome outcome;
  Status status;
  Span::Taken taken;
  std::uint64_t waited_ns = 0;
  bool began = true;  // false: the runtime stopped, and the handler was not entered
  int version = 1;
  int memory_mb = 0;  // that version's, if it began
};

// One call on the calling thread, under these rules.
struct CallHere {
  FunctionState& function;
  const RunVersion& version;
  int line;
  const void* in;
  void* result;
  const Lineage& lineage;
  ActiveFrame* parent;
  Deadline deadline;
};

// A Result<R>, and what assigns an error to it.
struct CallOut {
  void* result;
  void (*fail)(void* result, Status status);
};

// A function by its name, and the types that its caller gives and wants; null for none.
struct CalledName {
  std::string_view name;
  const TypeInfo* in;
  const TypeInfo* out;
};

}  // namespace wisp::inline v0::detail
