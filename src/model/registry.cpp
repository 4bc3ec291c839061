#include <wisp/model/registry.hpp>

namespace wisp::inline v0 {
namespace detail {

FunctionTable::FunctionTable() {
  all_.push_back(std::make_unique<Slots>(64));
  slots_.store(all_.back().get(), std::memory_order_release);
}

void FunctionTable::put(Slots& slots, std::uint64_t hash, const Registered* entry) {
  std::size_t i = hash & slots.mask;
  while (slots.slot[i].entry.load(std::memory_order_relaxed) != nullptr) i = (i + 1) & slots.mask;
  slots.slot[i].hash = hash;
  // Release: pairs with the acquire in find().
  slots.slot[i].entry.store(entry, std::memory_order_release);
}

void FunctionTable::clear() {
  all_.push_back(std::make_unique<Slots>(64));
  slots_.store(all_.back().get(), std::memory_order_release);
  count_ = 0;
}

void FunctionTable::insert(std::uint64_t hash, const Registered* entry) {
  Slots& now = *all_.back();
  // Half full at most, so that every probe meets an empty slot soon.
  if (2 * (count_ + 1) > now.mask + 1) {
    auto grown = std::make_unique<Slots>(2 * (now.mask + 1));
    for (std::size_t i = 0; i <= now.mask; ++i) {
      const Registered* each = now.slot[i].entry.load(std::memory_order_relaxed);
      if (each != nullptr) put(*grown, now.slot[i].hash, each);
    }
    all_.push_back(std::move(grown));
    // Release: pairs with the acquire in find().
    slots_.store(all_.back().get(), std::memory_order_release);
  }
  put(*all_.back(), hash, entry);
  ++count_;
}

Result<std::shared_ptr<const Version>> Attachment::make(std::shared_ptr<const Definition>, int) {
  return unimplemented("this registry has no engine that runs versions");
}

}  // namespace detail

namespace {

bool same_or_both_null(const TypeInfo* a, const TypeInfo* b) {
  return a == b || (a != nullptr && b != nullptr && same_type(*a, *b));
}

Status check_clash(const TypeInfo& a, const TypeInfo& b) {
  if (a.wire_name.empty() || a.wire_name != b.wire_name || same_type(a, b)) return Status();
  return already_exists("two types have the wire name '{}': {} and {}", a.wire_name, a.spelled_name,
                        b.spelled_name);
}

// "function 'price' takes Parcel, not Order". Types that share their wire name are told apart by
// their spelling.
Status mismatch(std::string_view function, std::string_view verb, const TypeInfo* own,
                const TypeInfo* given, std::string_view none) {
  const bool alike = own != nullptr && given != nullptr && own->name() == given->name();
  const auto name = [&](const TypeInfo* type) {
    return type == nullptr ? none : alike ? type->spelled_name : type->name();
  };
  return invalid_argument("function '{}' {} {}, not {}", function, verb, name(own), name(given));
}

}  // namespace

Registry::~Registry() {
  std::vector<std::unique_ptr<detail::Registered>> gone;  // after the lock
  const MutexLock lock(mutex_);
  by_handle_.clear();
  by_name_.clear();
  types_.clear();
  gone.swap(functions_);
}

Status Registry::check_types(const detail::Definition& definition) const {
  for (const TypeInfo* mine : {definition.in, definition.out}) {
    if (mine == nullptr) continue;
    const auto known = types_.find(mine->wire_name);
    if (known == types_.end()) continue;
    WISP_TRY(check_clash(*mine, *known->second));
  }
  if (definition.in == nullptr || definition.out == nullptr) return Status();
  return check_clash(*definition.in, *definition.out);
}

Status Registry::add(std::shared_ptr<const detail::Definition> definition) {
  if (definition->reference()) {
    return invalid_argument("'{}' ({}) is a name without a handler and cannot be added",
                            definition->name, definition->place());
  }
  if (Status bad = check_function_name(definition->name); !bad.ok()) {
    return invalid_argument("{} ({})", message(bad), definition->place());
  }
  if (Status bad = check(definition->options, "function '" + definition->name + "'"); !bad.ok()) {
    const std::string text(message(bad));
    return Status(bad.code(), text + " (" + definition->place() + ")");
  }
  const Instances& instances = definition->options.instances;
  if (definition->instances == nullptr &&
      (instances.provisioned > 0 || instances.max > 0 || instances.predictive)) {
    return invalid_argument("function '{}' has no instances: it is not stateful ({})",
                            definition->name, definition->place());
  }
  // Declared first: should it not be wanted after all, it goes once the lock has.
  std::unique_ptr<detail::Attachment> prepared;
  if (definition->prepares() && attach_ && lookup(*definition) == nullptr) {
    prepared = attach_({.definition = definition, .attachment = nullptr});
    WISP_TRY(prepared->prepare());
  }
  const MutexLock lock(mutex_);
  if (lookup(*definition) != nullptr) return Status();
  if (const detail::Registered* taken = lookup(definition->name); taken != nullptr) {
    return already_exists("function '{}' is declared twice: {} and {}", definition->name,
                          taken->definition->place(), definition->place());
  }
  if (functions_.size() >= kFunctionsMax) {
    return resource_exhausted("function '{}' is one more than the {} that a registry holds",
                              definition->name, kFunctionsMax);
  }
  WISP_TRY(check_types(*definition));
  auto entry = std::make_unique<detail::Registered>();
  entry->definition = std::move(definition);
  entry->index = static_cast<int>(functions_.size());
  if (prepared != nullptr) entry->attachment = std::move(prepared);
  else if (attach_) entry->attachment = attach_(*entry);
  if (entry->attachment != nullptr) entry->attachment->published();
  by_handle_.insert(hash_of(*entry->definition), entry.get());
  by_name_.insert(hash_of(entry->definition->name), entry.get());
  for (const TypeInfo* type : {entry->definition->in, entry->definition->out}) {
    if (type != nullptr && !type->wire_name.empty()) types_.emplace(type->wire_name, type);
  }
  functions_.push_back(std::move(entry));
  return Status();
}

FunctionInfo Registry::info_of(const detail::Registered& entry) const {
  const detail::Definition* definition = entry.definition.get();
  FunctionInfo info{.name = definition->name, .traffic = {{.version = 1, .weight = 1}}};
  if (entry.versions != nullptr) {
    const detail::Traffic& now = entry.versions->now;
    info.traffic = {{now.first->version, 1 - now.weight}};
    const detail::Version* most = now.first.get();
    if (now.second != nullptr) {
      info.traffic.push_back({now.second->version, now.weight});
      if (now.weight > 0.5) most = now.second.get();
    }
    info.version = most->version;
    definition = most->definition.get();
  }
  if (entry.versions != nullptr && entry.versions->now.shadow != nullptr) {
    const detail::Traffic& now = entry.versions->now;
    info.shadow = VersionShare{now.shadow->version, now.shadowed};
  }
  info.signature = signature(*definition);
  info.place = definition->place();
  return info;
}

std::optional<FunctionInfo> Registry::find(std::string_view name) const {
  const detail::Registered* found = lookup(name);
  if (found == nullptr) return std::nullopt;
  const MutexLock lock(mutex_);
  return info_of(*found);
}

std::vector<FunctionInfo> Registry::list() const {
  const MutexLock lock(mutex_);
  std::vector<FunctionInfo> all;
  all.reserve(functions_.size());
  for (const auto& each : functions_) all.push_back(info_of(*each));
  return all;
}

Result<const detail::Registered*> Registry::resolve_slow(
    const detail::Definition& definition) const {
  if (definition.reference()) return resolve(definition.name, definition.in, definition.out);
  if (const detail::Registered* other = lookup(definition.name); other != nullptr) {
    return not_found(
        "this handle of '{}' ({}) is not in this runtime, another is ({}): call that one, or by "
        "name",
        definition.name, definition.place(), other->definition->place());
  }
  return not_found(
      "function '{}' ({}) is not in this runtime: start it with wisp::linked_functions(), or add "
      "it",
      definition.name, definition.place());
}

Result<const detail::Registered*> Registry::resolve(std::string_view name, const TypeInfo* in,
                                                    const TypeInfo* out) const {
  const detail::Registered* found = lookup(name);
  if (found == nullptr) return not_found("no function '{}'", name);
  const detail::Definition& definition = *found->definition;
  if (!same_or_both_null(definition.in, in)) {
    return mismatch(name, "takes", definition.in, in, "no input");
  }
  if (!same_or_both_null(definition.out, out)) {
    return mismatch(name, "returns", definition.out, out, "void");
  }
  return found;
}

}  // namespace wisp::inline v0
