// An event that came in, decoded into what its topic's subscribers take, and not yet emitted.
//
// Threads: any.
#pragma once

#include <memory>
#include <string_view>
#include <utility>

#include <wisp/base/config.hpp>
#include <wisp/base/status.hpp>
#include <wisp/json/cloud_event.hpp>
#include <wisp/runtime.hpp>

namespace wisp::inline v0::http::detail {

class Emission {
 public:
  virtual ~Emission() = default;
  virtual Result<EventId> emit(Runtime& runtime, std::string_view topic,
                               const CallOptions& options) const = 0;
};

// Of the data of `event`, by json::CloudEvent::read().
using ReadEmission = Result<std::unique_ptr<const Emission>> (*)(const json::CloudEvent& event,
                                                                 const json::ReadOptions& options);

inline namespace WISP_EXCEPTIONS_NAMESPACE {

template <class T>
class TypedEmission final : public Emission {
 public:
  static Result<std::unique_ptr<const Emission>> read(const json::CloudEvent& event,
                                                      const json::ReadOptions& options) {
    WISP_TRY(T value, event.read<T>(options));
    return std::unique_ptr<const Emission>(new TypedEmission(std::move(value)));
  }
  Result<EventId> emit(Runtime& runtime, std::string_view topic,
                       const CallOptions& options) const override {
    return runtime.emit(topic, value_, options);
  }

 private:
  explicit TypedEmission(T value) : value_(std::move(value)) {}
  T value_;
};

}  // namespace WISP_EXCEPTIONS_NAMESPACE
}  // namespace wisp::inline v0::http::detail
