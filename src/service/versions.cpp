// The versions of a function: made, chosen, let go.
#include <wisp/service/detail/versions.hpp>

#include <algorithm>
#include <utility>

#include <wisp/base/readers.hpp>
#include <wisp/service/detail/instances.hpp>
#include <wisp/service/invoker.hpp>

namespace wisp::inline v0::detail {
namespace {

// FNV-1a, 64 bits, then the finaliser of MurmurHash3: FNV's high bits hardly know the last bytes.
std::uint64_t hash_of(std::string_view text, std::uint64_t from) {
  std::uint64_t hash = from;
  for (const char each : text) hash = (hash ^ static_cast<unsigned char>(each)) * 0x100000001b3U;
  return hash;
}
std::uint64_t mixed(std::uint64_t hash) {
  hash = (hash ^ (hash >> 33)) * 0xff51afd7ed558ccdU;
  hash = (hash ^ (hash >> 33)) * 0xc4ceb9fe1a85ec53U;
  return hash ^ (hash >> 33);
}

// The first one is no one's to share.
std::shared_ptr<const RunVersion> shared(const std::shared_ptr<const Version>& version) {
  if (version == nullptr || version->version == 1) return nullptr;
  return std::static_pointer_cast<const RunVersion>(version);
}

}  // namespace

RunVersion::~RunVersion() = default;

std::uint32_t draw_of(std::string_view function, std::string_view key) {
  if (key.empty()) return 0;
  // The function's name first, or all functions would try their second version on the same keys.
  const std::uint64_t named = hash_of(function, 0xcbf29ce484222325U) * 0x100000001b3U;
  return std::max<std::uint32_t>(static_cast<std::uint32_t>(mixed(hash_of(key, named)) >> 32), 1);
}

void Directions::direct(const Traffic& traffic) {
  const MutexLock lock(mutex_);
  for (auto* each : {&one_, &two_, &shadow_})
    if (*each != nullptr) gone_.push_back(std::move(*each));
  one_ = shared(traffic.first);
  two_ = shared(traffic.second);
  shadow_ = std::static_pointer_cast<const RunVersion>(traffic.shadow);
  of_two_ = static_cast<std::uint64_t>(traffic.weight * 0x1p32);
  of_shadow_ = static_cast<std::uint64_t>(traffic.shadowed * 0x1p32);
  // Release: pairs with the acquire in only().
  const bool split = traffic.second != nullptr || traffic.shadow != nullptr;
  only_.store(split ? nullptr : static_cast<const RunVersion*>(traffic.first.get()),
              std::memory_order_release);
  const bool first = !split && traffic.first.get() == &first_;
  first_.shortest.store(first && first_.bare, std::memory_order_relaxed);
  leaving_.store(!gone_.empty(), std::memory_order_relaxed);
}

void Directions::let_go(Ledger& ledger) {
  std::vector<std::shared_ptr<const RunVersion>> gone;  // destroyed without the lock
  const MutexLock lock(mutex_);
  heavy_barrier();  // pairs with the light ones of who marks and of who takes a mark away
  const auto stays = std::partition(gone_.begin(), gone_.end(), [&ledger](const auto& each) {
    return ledger.marked(each.get());
  });
  std::move(stays, gone_.end(), std::back_inserter(gone));
  gone_.erase(stays, gone_.end());
  leaving_.store(!gone_.empty(), std::memory_order_relaxed);
}

Directions::Chosen Directions::choose(std::string_view function, const ChosenBy& by,
                                      Random& random) {
  const std::uint64_t coins = random.next();  // before the lock: it may be the host's
  std::uint64_t draw = by.draw != 0 ? by.draw : draw_of(function, by.key);
  if (draw == 0) draw = coins >> 32;
  const MutexLock lock(mutex_);
  Chosen chosen{.version = draw < of_two_ ? two_ : one_, .shadow = nullptr};
  if ((coins & 0xffff'ffffU) < of_shadow_) chosen.shadow = shadow_;
  return chosen;
}

void VersionUse::choose(const RunVersion& first, Directions& directions, const ChosenBy& by,
                        Random& random) {
  version_ = &first;
  hold(directions.choose(first.definition->name, by, random));
}

void VersionUse::hold(Directions::Chosen chosen) {
  if (chosen.version != nullptr) version_ = chosen.version.get();
  new (&chosen_) Directions::Chosen(std::move(chosen));
  held_ = true;
}

void VersionUse::let_go() { chosen_.~Chosen(); }

const Version* FunctionState::first() const { return this; }

void FunctionState::direct(const Traffic& traffic) { directions.direct(traffic); }

void FunctionState::let_go() { directions.let_go(owner.parts().ledger); }

Result<std::shared_ptr<const Version>> FunctionState::make(std::shared_ptr<const Definition> made,
                                                           int number) {
  auto another = std::make_shared<RunVersion>();
  another->version = number;
  WISP_TRY(owner.admit());
  WISP_TRY(owner.make_ready(*another, std::move(made)));
  another->bare = another->bare && !limited();
  another->shadow = std::make_shared<ShadowCounts>();
  {
    const MutexLock lock(mutex);
    if (shadow == nullptr) {
      shadow = std::make_shared<ShadowCounts>();
      shadows.emplace_back(1, shadow);
    }
    // Beyond the lines of the bill no version has a row of its own that this would be shown in.
    if (another->line != kOthersLine) shadows.emplace_back(number, another->shadow);
  }
  if (another->instances != nullptr) {
    {
      const MutexLock lock(mutex);
      std::erase_if(pools, [](const auto& each) { return each.expired(); });
      pools.push_back(another->instances);
      if (another->line != kOthersLine) starts.emplace_back(number, another->instances->starts());
    }
    // Perhaps too late for close().
    if (!owner.admit().ok()) another->instances->close();
  }
  return std::shared_ptr<const Version>(std::move(another));
}

}  // namespace wisp::inline v0::detail
