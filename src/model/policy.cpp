#include <wisp/model/policy.hpp>

#include <algorithm>
#include <charconv>
#include <string>

#include <absl/strings/cord.h>

namespace wisp::inline v0 {
namespace {

// Of a backoff: added to any time of a clock and to what an error asks for, it is still a time.
constexpr Duration kWaitMax = Duration::max() / 2;

// The payload's type URL under which an error carries its wait, in nanoseconds.
constexpr char kRetryAfterUrl[] = "wisp/retry-after";

constexpr int kMemoryMbMax = 1'048'576;
constexpr std::size_t kNameMax = 256;

Status check_attempts(std::optional<int> attempts, std::string_view field, std::string_view what) {
  if (attempts && (*attempts < 1 || *attempts > kAttemptsMax)) {
    return invalid_argument("{}: {} is {}, it must be 1 to {}", what, field, *attempts,
                            kAttemptsMax);
  }
  return Status();
}

Status check_delay(Duration delay, std::string_view field, std::string_view what) {
  if (delay >= Duration::zero()) return Status();
  return invalid_argument("{}: {} is {} ns, it must not be negative", what, field, delay.count());
}

Status check_batch(const Delivery& delivery, std::string_view what) {
  const Batching& batch = delivery.batch;
  if (batch.size < 0 || batch.size > kBatchMax) {
    return invalid_argument("{}: batch.size is {}, it must be 0 to {}", what, batch.size,
                            kBatchMax);
  }
  if (batch.size > delivery.queue.count) {
    return invalid_argument("{}: batch.size is {}, and its queue holds {} (queue.count)", what,
                            batch.size, delivery.queue.count);
  }
  if (batch.window < Duration::zero() || batch.window > kWindowMax) {
    return invalid_argument("{}: batch.window is {} ns, it must be 0 to {} s", what,
                            batch.window.count(), kWindowMax / std::chrono::seconds(1));
  }
  return Status();
}

bool name_begins(char c) { return (c >= 'a' && c <= 'z') || c == '_'; }
bool digit(char c) { return c >= '0' && c <= '9'; }

Status check_instances(const Instances& instances, std::string_view what) {
  if (instances.provisioned < 0 || instances.provisioned > kProvisionedMax) {
    return invalid_argument("{}: instances.provisioned is {}, it must be 0 to {}", what,
                            instances.provisioned, kProvisionedMax);
  }
  if (instances.max < 0)
    return invalid_argument("{}: instances.max is {}, it must not be negative", what,
                            instances.max);
  if (instances.max > 0 && instances.provisioned > instances.max) {
    return invalid_argument("{}: instances.provisioned is {}, more than instances.max ({})", what,
                            instances.provisioned, instances.max);
  }
  return check_delay(instances.keep_alive, "instances.keep_alive", what);
}

}  // namespace

Status with_retry_after(Status error, Duration wait) {
  const Duration within = std::clamp(wait, Duration::zero(), kRetryAfterMax);
  const std::string text = std::to_string(within.count());
  error.SetPayload(kRetryAfterUrl, absl::Cord({text.data(), text.size()}));
  return error;
}

std::optional<Duration> retry_after_of(const Status& status) {
  if (status.ok()) return std::nullopt;
  const auto payload = status.GetPayload(kRetryAfterUrl);
  if (!payload.has_value()) return std::nullopt;
  const std::string text(*payload);
  std::int64_t count = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), count);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  // Whoever wrote it.
  return std::clamp(Duration(count), Duration::zero(), kRetryAfterMax);
}

Duration backoff(const Retry& retry, int attempt, Random& random) {
  Duration limit =
      std::clamp(retry.first_delay, Duration::zero(), std::max(retry.max_delay, Duration::zero()));
  // At most 63 doublings, whatever the attempt.
  for (int i = 1; i < attempt && limit > Duration::zero() && limit < retry.max_delay; ++i) {
    limit = limit > retry.max_delay / 2 ? retry.max_delay : limit * 2;
  }
  return Duration(uniform(random, 0, limit.count()));
}

Duration retry_delay(const Retry& retry, int attempt, const Status& error, Random& random) {
  const Duration asked = retry_after_of(error).value_or(Duration::zero());
  return asked + std::min(backoff(retry, attempt, random), kWaitMax);
}

bool retryable(StatusCode code) {
  switch (code) {
    case StatusCode::kUnavailable:
    case StatusCode::kDeadlineExceeded:
    case StatusCode::kAborted:
    case StatusCode::kInternal:
    case StatusCode::kResourceExhausted:
      return true;
    default:
      return false;
  }
}

Status check(const FunctionOptions& options, std::string_view what) {
  WISP_TRY(check_instances(options.instances, what));
  WISP_TRY(check_delay(options.timeout, "timeout", what));
  WISP_TRY(check_attempts(options.retry.attempts, "retry.attempts", what));
  WISP_TRY(check_delay(options.retry.first_delay, "retry.first_delay", what));
  WISP_TRY(check_delay(options.retry.max_delay, "retry.max_delay", what));
  if (options.limits.concurrency < 0) {
    return invalid_argument("{}: limits.concurrency is {}, it must not be negative", what,
                            options.limits.concurrency);
  }
  if (options.limits.reserved.value_or(0) < 0) {
    return invalid_argument("{}: limits.reserved is {}, it must not be negative", what,
                            *options.limits.reserved);
  }
  const double rate = options.limits.per_second;
  if (rate != 0 && !(rate >= kRateMin && rate <= kRateMax)) {
    return invalid_argument("{}: limits.per_second is {}, it must be 0 or {} to {}", what, rate,
                            kRateMin, kRateMax);
  }
  if (options.memory_mb < 1 || options.memory_mb > kMemoryMbMax) {
    return invalid_argument("{}: memory_mb is {}, it must be 1 to {}", what, options.memory_mb,
                            kMemoryMbMax);
  }
  return Status();
}

Status check(const Queue& queue, std::string_view what) {
  if (queue.count < 1)
    return invalid_argument("{}: queue.count is {}, it must be 1 or more", what, queue.count);
  if (queue.bytes < 1) return invalid_argument("{}: queue.bytes is 0, it must be 1 or more", what);
  return Status();
}

Status check(const Delivery& delivery, std::string_view what) {
  WISP_TRY(check_attempts(delivery.attempts, "attempts", what));
  if (delivery.synchronous && delivery.attempts.value_or(1) > 1) {
    return invalid_argument("{}: a synchronous delivery is attempted once, not {} times", what,
                            *delivery.attempts);
  }
  if (delivery.synchronous && delivery.serial) {
    return invalid_argument(
        "{}: a synchronous delivery runs on each publisher's thread and cannot be serial", what);
  }
  WISP_TRY(check(delivery.queue, what));
  return check_batch(delivery, what);
}

Status check(const Firing& firing, std::string_view what) {
  if (firing.make_up < 0 || firing.make_up > kMakeUpMax) {
    return invalid_argument("{}: make_up is {}, it must be 0 to {}", what, firing.make_up,
                            kMakeUpMax);
  }
  if (firing.jitter < Duration::zero() || firing.jitter > kJitterMax) {
    return invalid_argument("{}: jitter is {} ns, it must be 0 to {} h", what,
                            firing.jitter.count(), kJitterMax / std::chrono::hours(1));
  }
  return Status();
}

Status check_key(std::string_view key) {
  if (key.size() <= kKeyMax) return Status();
  return invalid_argument("key '{}...' has {} bytes, the limit is {}", key.substr(0, 32),
                          key.size(), kKeyMax);
}

Status check_function_name(std::string_view name) {
  if (name.empty()) return invalid_argument("a function needs a name");
  if (name.size() > kNameMax) {
    return invalid_argument("function name '{}...' has {} characters, the limit is {}",
                            name.substr(0, 32), name.size(), kNameMax);
  }
  bool start = true;
  for (const char c : name) {
    const bool good = start ? name_begins(c) : name_begins(c) || digit(c) || c == '.';
    if (!good) {
      return invalid_argument(
          "bad function name '{}': names are dotted lower-case identifiers, as "
          "'billing.price_parcel'",
          name);
    }
    start = c == '.';
  }
  if (start) return invalid_argument("bad function name '{}': it ends with a dot", name);
  return Status();
}

}  // namespace wisp::inline v0
