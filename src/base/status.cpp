#include <wisp/base/status.hpp>

#include <iterator>

#include <absl/strings/cord.h>
#include <fmt/format.h>

namespace wisp::inline v0 {
namespace {

// The payload's type URL under which a refusal carries its reason.
constexpr char kReasonUrl[] = "wisp/reason";

constexpr std::string_view kReasonNames[] = {"limit",   "rate", "budget",  "hops",
                                             "stopped", "full", "overload"};

}  // namespace

std::string to_string(const Status& status) { return std::string(status.ToString()); }

std::string_view to_string(Reason reason) { return kReasonNames[static_cast<int>(reason)]; }

Status refused(StatusCode code, Reason reason, std::string_view text) {
  Status status(code, {text.data(), text.size()});
  const std::string_view name = to_string(reason);
  status.SetPayload(kReasonUrl, absl::Cord({name.data(), name.size()}));
  return status;
}

std::optional<Reason> reason_of(const Status& status) {
  if (status.ok()) return std::nullopt;
  const auto payload = status.GetPayload(kReasonUrl);
  if (!payload.has_value()) return std::nullopt;
  const std::string text(*payload);
  for (std::size_t i = 0; i < std::size(kReasonNames); ++i) {
    if (kReasonNames[i] == text) return static_cast<Reason>(i);
  }
  return std::nullopt;
}

namespace detail {

Status make_status(StatusCode code, fmt::string_view format, fmt::format_args arguments) {
  const std::string text = fmt::vformat(format, arguments);
  return Status(code, text);
}

}  // namespace detail
}  // namespace wisp::inline v0
