// oneTBB: task_arena::enqueue; for the tree also a task_group inside an arena of two.
#include <tbb/global_control.h>
#include <tbb/task_arena.h>
#include <tbb/task_group.h>

#include "pools.hpp"

namespace {

using compare::Options;
using compare::Outcome;

class Arena {
 public:
  // No place is reserved for the caller: it only enqueues.
  explicit Arena(int workers)
      : control_(tbb::global_control::max_allowed_parallelism, workers + 1), arena_(workers, 0) {}
  template <class F>
  void post(F f) {
    arena_.enqueue(std::move(f));
  }

 private:
  tbb::global_control control_;
  tbb::task_arena arena_;
};

void grow(tbb::task_group& group, std::atomic<int>& ran, int depth) {
  if (depth > 1) {
    for (int child = 0; child < 2; ++child)
      group.run([&group, &ran, depth] { grow(group, ran, depth - 1); });
  }
  ran.fetch_add(1, std::memory_order_relaxed);
}

Outcome group_tree(const Options& options) {
  const int depth = options.pick(20, 16);
  std::atomic<int> ran{0};
  tbb::task_arena arena(2);
  const compare::Stopwatch watch;
  arena.execute([&] {
    tbb::task_group group;
    group.run([&] { grow(group, ran, depth); });
    group.wait();
  });
  Outcome outcome = watch.per((1 << depth) - 1);
  compare::require(ran == (1 << depth) - 1, "the work was not done exactly once");
  return outcome;
}

}  // namespace

int main(int argc, char** argv) {
  auto workloads = compare::pool_workloads<Arena>();
  workloads["E.group"] = group_tree;
  return compare::run(workloads, argc, argv);
}
