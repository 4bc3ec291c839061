#include <wisp/model/declare.hpp>

#include <algorithm>

#include <wisp/base/mutex.hpp>

namespace wisp::inline v0 {
namespace {

struct Linkage {
  Mutex mutex;
  std::vector<std::shared_ptr<const detail::Definition>> definitions ABSL_GUARDED_BY(mutex);
};

// Never destroyed: declarations unlink themselves while the process exits, in any order.
Linkage& linkage() {
  static Linkage& instance = *new Linkage;
  return instance;
}

}  // namespace

Catalogue linked_functions() {
  Linkage& all = linkage();
  const MutexLock lock(all.mutex);
  return {all.definitions};
}

namespace detail {

void link(const std::shared_ptr<const Definition>& definition) {
  Linkage& all = linkage();
  const MutexLock lock(all.mutex);
  all.definitions.push_back(definition);
}

void unlink(const Definition& definition) {
  Linkage& all = linkage();
  std::shared_ptr<const Definition> last;  // its callable is destroyed outside of the lock
  const MutexLock lock(all.mutex);
  const auto found =
      std::find_if(all.definitions.begin(), all.definitions.end(),
                   [&definition](const auto& each) { return each.get() == &definition; });
  if (found == all.definitions.end()) return;
  last = std::move(*found);
  all.definitions.erase(found);
}

}  // namespace detail
}  // namespace wisp::inline v0
