// A registry's versions: which there are, and where calls go.
#include <algorithm>
#include <cmath>
#include <utility>

#include <wisp/model/registry.hpp>

namespace wisp::inline v0 {
namespace detail {
namespace {

constexpr double kWeightsWithin = 1e-6;

bool same_type_or_none(const TypeInfo* a, const TypeInfo* b) {
  return a == b || (a != nullptr && b != nullptr && same_type(*a, *b));
}

// The option in which they differ, of those that all versions share; empty: in none.
std::string_view difference(const FunctionOptions& a, const FunctionOptions& b) {
  if (a.timeout != b.timeout) return "timeout";
  if (a.retry.attempts != b.retry.attempts) return "retry.attempts";
  if (a.retry.first_delay != b.retry.first_delay) return "retry.first_delay";
  if (a.retry.max_delay != b.retry.max_delay) return "retry.max_delay";
  if (a.limits.concurrency != b.limits.concurrency) return "limits.concurrency";
  if (a.limits.reserved != b.limits.reserved) return "limits.reserved";
  if (a.limits.per_second != b.limits.per_second) return "limits.per_second";
  if (a.pool_only != b.pool_only) return "pool_only";
  if (a.instances.provisioned != b.instances.provisioned) return "instances.provisioned";
  if (a.instances.max != b.instances.max) return "instances.max";
  if (a.instances.keep_alive != b.instances.keep_alive) return "instances.keep_alive";
  if (a.instances.predictive != b.instances.predictive) return "instances.predictive";
  if (a.lane != b.lane) return "lane";
  return {};
}

Status check_version(const Definition& own, const Definition& other) {
  if (other.reference())
    return invalid_argument("'{}' ({}) is a name without a handler and cannot be published",
                            other.name, other.place());
  if (!same_type_or_none(own.in, other.in) || !same_type_or_none(own.out, other.out) ||
      !same_type_or_none(own.item, other.item)) {
    return invalid_argument("function '{}' is {} ({}), this version is {} ({})", own.name,
                            signature(own), own.place(), signature(other), other.place());
  }
  if ((own.instances == nullptr) != (other.instances == nullptr)) {
    return invalid_argument("function '{}' ({}): either all versions are stateful, or none ({})",
                            own.name, own.place(), other.place());
  }
  if (const std::string_view field = difference(own.options, other.options); !field.empty()) {
    return invalid_argument(
        "function '{}' ({}): {} differs in this version ({}); only memory_mb and meter may",
        own.name, own.place(), field, other.place());
  }
  return check(other.options, "function '" + other.name + "'");
}

Status check_shares(std::string_view function, const std::vector<VersionShare>& shares) {
  if (shares.empty() || shares.size() > kAliasVersionsMax) {
    return invalid_argument("alias '{}': {} versions, it takes 1 to {}", function, shares.size(),
                            kAliasVersionsMax);
  }
  double sum = 0;
  for (const VersionShare& each : shares) {
    if (!(each.weight > 0)) {
      return invalid_argument("alias '{}': the weight {} of version {} must be above 0", function,
                              each.weight, each.version);
    }
    sum += each.weight;
  }
  if (!(std::abs(sum - 1) <= kWeightsWithin))
    return invalid_argument("alias '{}': the weights sum to {}, not 1", function, sum);
  if (shares.size() == 2 && shares[0].version == shares[1].version)
    return invalid_argument("alias '{}': version {} is named twice", function, shares[0].version);
  return Status();
}

Status check_shadow(const Definition& definition) {
  if (definition.in != nullptr && definition.copy == nullptr) {
    return invalid_argument("function '{}' has no shadow: its input {} cannot be copied",
                            definition.name, definition.in->name());
  }
  if (definition.results->equal == nullptr || definition.results->keep == nullptr) {
    return invalid_argument(
        "function '{}' has no shadow: its {} cannot be compared by == and copied", definition.name,
        definition.out->name());
  }
  return Status();
}

// One that lives as long as its function.
std::shared_ptr<const Version> unowned(const Version* version) {
  return {std::shared_ptr<const Version>(), version};
}

bool alike(const Traffic& a, const Traffic& b) {
  return a.first == b.first && a.second == b.second && a.weight == b.weight;
}

bool names(const Traffic& traffic, const Version& version) {
  return traffic.first.get() == &version || traffic.second.get() == &version;
}

// All that have a number that alias() takes.
template <class Visit>
void for_each(const Registered& entry, const Visit& visit) {
  visit(unowned(entry.attachment->first()));
  if (entry.versions == nullptr) return;
  const Versions& versions = *entry.versions;
  for (const auto& each : {versions.now.first, versions.now.second, versions.now.shadow,
                           versions.before.first, versions.before.second})
    if (each != nullptr) visit(each);
  for (const auto& each : versions.waiting) visit(each);
}

std::shared_ptr<const Version> find_version(const Registered& entry, int number) {
  std::shared_ptr<const Version> found;
  for_each(entry, [&](const std::shared_ptr<const Version>& each) {
    if (each->version == number) found = each;
  });
  return found;
}

}  // namespace

}  // namespace detail

Result<detail::Registered*> Registry::named(std::string_view function) const {
  const detail::Registered* found = lookup(function);
  if (found == nullptr) return not_found("no function '{}'", function);
  detail::Registered* const entry = functions_[static_cast<std::size_t>(found->index)].get();
  if (entry->attachment == nullptr || entry->attachment->first() == nullptr)
    return unimplemented("this registry has no engine that runs versions");
  return entry;
}

namespace {

Status too_many(std::string_view function) {
  return resource_exhausted(
      "function '{}' has {} versions that had no calls yet, and takes no more", function,
      kVersionsWaitingMax);
}

}  // namespace

Result<int> Registry::publish(std::shared_ptr<const detail::Definition> definition) {
  detail::Registered* entry = nullptr;
  int number = 0;
  {
    const MutexLock lock(mutex_);
    WISP_TRY(entry, named(definition->name));
    if (entry->definition == definition) {
      return already_exists("function '{}' ({}) is version 1 already", definition->name,
                            definition->place());
    }
    WISP_TRY(detail::check_version(*entry->definition, *definition));
    if (entry->versions == nullptr) {
      entry->versions = std::make_unique<detail::Versions>();
      entry->versions->now.first = detail::unowned(entry->attachment->first());
    }
    if (entry->versions->waiting.size() >= kVersionsWaitingMax) return too_many(definition->name);
    number = ++entry->versions->last;
  }
  // Without the lock: a factory of the user's may run, or a destructor, should it not be wanted.
  WISP_TRY(std::shared_ptr<const detail::Version> made,
           entry->attachment->make(std::move(definition), number));
  const MutexLock lock(mutex_);
  auto& waiting = entry->versions->waiting;
  if (waiting.size() >= kVersionsWaitingMax) return too_many(entry->definition->name);
  waiting.push_back(std::move(made));
  return number;
}

std::vector<std::shared_ptr<const detail::Version>> Registry::direct(detail::Registered& entry,
                                                                     detail::Traffic traffic) {
  detail::Versions& versions = *entry.versions;
  std::vector<std::shared_ptr<const detail::Version>> gone{std::move(versions.before.first),
                                                           std::move(versions.before.second)};
  std::erase_if(versions.waiting, [&](const auto& each) { return detail::names(traffic, *each); });
  // What becomes of its calls has nothing to do with what is run apart.
  traffic.shadow = versions.now.shadow;
  traffic.shadowed = versions.now.shadowed;
  if (traffic.shadow != nullptr && detail::names(traffic, *traffic.shadow))
    traffic.shadow = nullptr;
  entry.attachment->direct(traffic);
  versions.now.shadow = nullptr;
  versions.before = std::exchange(versions.now, std::move(traffic));
  return gone;
}

Status Registry::alias(std::string_view function, const std::vector<VersionShare>& shares) {
  WISP_TRY(detail::check_shares(function, shares));
  detail::Registered* entry = nullptr;
  {
    std::vector<std::shared_ptr<const detail::Version>> gone;  // after the lock
    const MutexLock lock(mutex_);
    WISP_TRY(entry, named(function));
    detail::Traffic traffic;
    for (const VersionShare& each : shares) {
      std::shared_ptr<const detail::Version> version = detail::find_version(*entry, each.version);
      if (version == nullptr)
        return not_found("function '{}' has no version {}", function, each.version);
      (traffic.first == nullptr ? traffic.first : traffic.second) = std::move(version);
    }
    if (traffic.second != nullptr)
      traffic.weight = shares[1].weight / (shares[0].weight + shares[1].weight);
    // Said once more it is no change to roll back from.
    if (entry->versions == nullptr || detail::alike(entry->versions->now, traffic)) return Status();
    gone = direct(*entry, std::move(traffic));
  }
  entry->attachment->let_go();
  return Status();
}

Status Registry::shadow(std::string_view function, int version, double share) {
  if (!(share >= 0 && share <= 1))
    return invalid_argument("shadow of '{}': the share {} is not from 0 to 1", function, share);
  detail::Registered* entry = nullptr;
  {
    std::shared_ptr<const detail::Version> gone;  // after the lock
    const MutexLock lock(mutex_);
    WISP_TRY(entry, named(function));
    std::shared_ptr<const detail::Version> found = detail::find_version(*entry, version);
    if (found == nullptr) return not_found("function '{}' has no version {}", function, version);
    // Of a function that has only ever had one that one has the calls.
    if (entry->versions == nullptr || detail::names(entry->versions->now, *found)) {
      return invalid_argument("function '{}': version {} has calls, and is no shadow", function,
                              version);
    }
    WISP_TRY(detail::check_shadow(*entry->definition));
    detail::Traffic& now = entry->versions->now;
    if (share == 0 && now.shadow != found) return Status();
    gone = std::exchange(now.shadow, share > 0 ? std::move(found) : nullptr);
    now.shadowed = share;
    entry->attachment->direct(now);
  }
  entry->attachment->let_go();
  return Status();
}

Status Registry::rollback(std::string_view function) {
  detail::Registered* entry = nullptr;
  {
    std::vector<std::shared_ptr<const detail::Version>> gone;  // after the lock
    const MutexLock lock(mutex_);
    WISP_TRY(entry, named(function));
    if (entry->versions == nullptr || entry->versions->before.first == nullptr)
      return failed_precondition("function '{}': its alias was never changed", function);
    gone = direct(*entry, entry->versions->before);
  }
  entry->attachment->let_go();
  return Status();
}

}  // namespace wisp::inline v0
