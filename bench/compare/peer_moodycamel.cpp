// moodycamel: workers that block on a BlockingConcurrentQueue of std::function.
#include <concurrentqueue/blockingconcurrentqueue.h>

#include "pools.hpp"

namespace {

class QueuePool {
 public:
  explicit QueuePool(int workers) {
    for (int i = 0; i < workers; ++i) {
      std::thread([this] {
        std::function<void()> task;
        while (true) {
          queue_.wait_dequeue(task);
          task();
        }
      }).detach();
    }
  }
  template <class F>
  void post(F f) {
    queue_.enqueue(std::function<void()>(std::move(f)));
  }

 private:
  moodycamel::BlockingConcurrentQueue<std::function<void()>> queue_;
};

}  // namespace

int main(int argc, char** argv) {
  return compare::run(compare::pool_workloads<QueuePool>(), argc, argv);
}
