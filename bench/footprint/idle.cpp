// What does a Runtime cost that does nothing, and how soon does it do something?
//
// Prints the bytes by which resident memory grew with a runtime that has run a call here and one on
// a worker and now has nothing to do; and the nanoseconds from the beginning of its construction to
// the end of its first call, beside those of the process's first thread, from its creation to its
// first instruction. Each once in a process: the second time costs less.
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string_view>
#include <thread>

#include <wisp/wisp.hpp>

namespace {

using Moment = std::chrono::steady_clock::time_point;

long long since(Moment begin, Moment end) {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(end - begin).count();
}

long long resident_bytes() {
  std::FILE* const file = std::fopen("/proc/self/statm", "r");
  long long pages = 0;
  if (file == nullptr || std::fscanf(file, "%*d %lld", &pages) != 1) std::abort();
  std::fclose(file);
  return pages * sysconf(_SC_PAGESIZE);
}

int thread() {
  Moment begun;
  const Moment begin = std::chrono::steady_clock::now();
  std::thread([&begun] { begun = std::chrono::steady_clock::now(); }).join();
  std::printf("%lld\n", since(begin, begun));
  return 0;
}

int runtime(bool time) {
  const auto add_one = wisp::function("add_one", [](int n) { return n + 1; });
  const auto started = wisp::function("started", [](int n) { return n + 1; }, {.pool_only = true});
  const wisp::Catalogue functions = wisp::Catalogue().add(add_one).add(started);
  (void)resident_bytes();  // what stdio needs is there
  const long long before = resident_bytes();
  const Moment begin = std::chrono::steady_clock::now();
  wisp::Runtime runtime{functions};
  const wisp::Result<int> first = runtime.call(add_one, 1);
  const Moment end = std::chrono::steady_clock::now();
  if (!first.ok() || !runtime.start(started, 1).wait().ok()) return 1;
  std::printf("%lld\n", time ? since(begin, end) : resident_bytes() - before);
  return 0;
}

}  // namespace

int main(int count, char** arguments) {
  const std::string_view what = count > 1 ? arguments[1] : "";
  if (what == "thread") return thread();
  return runtime(what == "call");
}
