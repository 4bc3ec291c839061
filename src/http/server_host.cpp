// The end of a gateway that serves on its host's io_context.
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>

#include <exception>
#include <vector>

#include "server.hpp"
#include "session.hpp"

namespace wisp::inline v0::http {
namespace {

// On the host's thread nobody but this one runs its context meanwhile. What its handlers throw
// comes out of the host's own run, as it would have.
class HostRun {
 public:
  explicit HostRun(asio::io_context& context)
      : context_(context), guard_(asio::make_work_guard(context)) {}
  HostRun(const HostRun&) = delete;
  HostRun& operator=(const HostRun&) = delete;
  ~HostRun() {
#if WISP_EXCEPTIONS
    for (const std::exception_ptr& each : thrown_)
      asio::post(context_, [each] { std::rethrow_exception(each); });
#endif
    if (stopped_) context_.stop();
  }

  // One handler, or a while without.
  void one() {
    if (context_.stopped()) {
      stopped_ = true;  // by the host, then or now
      context_.restart();
    }
#if WISP_EXCEPTIONS
    try {
      context_.run_one_for(std::chrono::milliseconds(1));
    } catch (...) {
      thrown_.push_back(std::current_exception());
    }
#else
    context_.run_one_for(std::chrono::milliseconds(1));
#endif
  }

 private:
  asio::io_context& context_;
  // It does not stop for want of work, before what was thrown is back in it either.
  const asio::executor_work_guard<asio::io_context::executor_type> guard_;
  bool stopped_ = false;
#if WISP_EXCEPTIONS
  std::vector<std::exception_ptr> thrown_;
#endif
};

}  // namespace

// Until nothing of the context comes back to this loop.
bool Server::Loop::finish_on_host(Time until) {
  HostRun host(context_);
  bool drained = false;
  asio::post(context_, held([&drained] { drained = true; }));
  while (!drained || (!all_settled() && shared_.clock.now() < until)) host.one();
  const bool all = all_settled();
  end();
  mailbox_->close();
  while (token_.use_count() > 1) host.one();
  return all;
}

}  // namespace wisp::inline v0::http
