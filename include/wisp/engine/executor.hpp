// Where tasks run. wisp brings a pool that scales and a queue that the host pumps; a host with its
// own threads implements Executor in a few lines:
//
//   class AsioExecutor : public wisp::Executor {
//     wisp::Status submit(wisp::Task& task) override {
//       boost::asio::post(io_, [t = std::make_shared<wisp::Task>(std::move(task))] { (*t)(); });
//       return wisp::Status();
//     }
//   };
//
// Threads: any.
#pragma once

#include <deque>
#include <string_view>

#include <wisp/base/agent.hpp>
#include <wisp/base/callable.hpp>
#include <wisp/base/clock.hpp>
#include <wisp/base/mutex.hpp>
#include <wisp/base/status.hpp>

namespace wisp::inline v0 {

// What an executor runs, once. Destroying one that has not run cancels what it stands for, so a
// queue may be dropped at any time and nothing is lost uncounted. A task never throws.
using Task = InlineFunction<void(), 48>;

class Executor {
 public:
  virtual ~Executor() = default;

  // Takes `task` and runs it once, later, on a thread of the executor: never inside submit. On an
  // error (kResourceExhausted when its queue is full, kUnavailable once it has closed) `task` is
  // left as it was. Any thread, with no wisp lock held.
  virtual Status submit(Task& task) = 0;

  // The calling thread, which runs a task of this executor, is about to wait for another task, and
  // then has waited. True if tasks go on meanwhile (another thread is or will be there); false
  // tells the waiter to run what it waits for itself. The default knows nothing of the host's
  // threads and says false. Calls pair up: end only after a begin that said true.
  virtual bool begin_blocking() { return false; }
  virtual void end_blocking() {}

  // The thread with this kernel id, which runs a task, will not come back soon: until it does, the
  // executor counts it as one that waits, and tasks go on without it. False: it does not. Any
  // thread, with no wisp lock held.
  virtual bool set_aside(int thread) {
    (void)thread;
    return false;
  }

  // Whether tasks are queued: a task that could go on for longer then makes room for them. May be
  // out of date at once. The default says yes.
  virtual bool has_queued() const { return true; }

  // Whether the calling thread is running a task of this executor.
  virtual bool on_executor_thread() const { return false; }

  // Runs `body` to its end on a thread of its own: named `name` (15 characters are kept), signals
  // masked. For wisp's own long loops (the timer), not for tasks. Nobody joins the thread, so
  // whatever `body` touches at its end it must own. kUnavailable, and `body` destroyed, if there is
  // no thread; what it throws is taken for such a refusal. A simulator substitutes it.
  virtual Status start_thread(std::string_view name, Task body);
};

// A queue that runs when somebody pumps it. The executor of Threads::none.
class ManualExecutor final : public Executor {
 public:
  // At most `count_max` tasks queued; submit refuses the next.
  explicit ManualExecutor(Clock& clock, int count_max = 65'536)
      : clock_(clock), count_max_(count_max) {}

  // Destroys what is queued, as close() does. Requires: no pump runs.
  ~ManualExecutor() override { close(); }

  Status submit(Task& task) override;
  bool on_executor_thread() const override;

  struct Pumped {
    int ran = 0;
    int left = 0;  // queued now, with what this pass added
  };
  // Runs what was queued when the pass began, first in first out, until `time` is over (looked at
  // between tasks) or `tasks` have run; zero means no limit. Work added meanwhile waits for the
  // next pass. One pass at a time: a pump within a pump, or beside one on another thread, runs
  // nothing. Tasks run, and are destroyed, on the calling thread with no lock held.
  Pumped pump(Duration time = {}, int tasks = 0);

  // Refuses from now on, and destroys what is queued.
  void close();

  int queued() const;

 private:
  Clock& clock_;
  const int count_max_;

  mutable Mutex mutex_;
  std::deque<Task> tasks_ ABSL_GUARDED_BY(mutex_);
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
  detail::AgentId pumping_ ABSL_GUARDED_BY(mutex_) = nullptr;  // null: no pass is running
};

}  // namespace wisp::inline v0
