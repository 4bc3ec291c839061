#include <wisp/service/record.hpp>

#include <map>
#include <string>
#include <utility>

#include <wisp/sim/world.hpp>
#include <wisp/wisp.hpp>

#include "promise.hpp"

namespace {

using namespace std::chrono_literals;
using wisp::EventId;
using wisp::Record;
using wisp::Status;
using wisp::Step;
using wisp::sim::World;

// The life of each delivery, by event and function, checked step by step.
class Lives {
 public:
  wisp::RecordSink sink() {
    return [this](const Record& record) { see(record); };
  }

  void see(const Record& record) {
    if (record.step == Step::refused) return;
    if (record.id.empty()) return;  // a direct call
    Life& life = lives_[{record.id, std::string(record.function)}];
    INFO(to_string(record.step) << " of " << to_string(record.id) << " in " << record.function);
    CHECK(!life.over);
    switch (record.step) {
      case Step::accepted:
        CHECK(!life.accepted);
        life.accepted = true;
        break;
      case Step::began:
        CHECK((life.accepted && !life.inside));
        CHECK(record.attempt == life.attempts + 1);
        life.inside = true;
        ++life.attempts;
        break;
      case Step::ended:
        CHECK(life.inside);
        life.inside = false;
        break;
      case Step::retrying:
        CHECK((!life.inside && record.due >= record.at));
        break;
      case Step::late:
        CHECK(life.inside);
        break;
      default:
        CHECK((life.accepted && !life.inside));
        CHECK(record.attempt == life.attempts);
        life.over = true;
        ++ends_[record.step];
    }
  }

  void check(const wisp::EventStats& events) {
    for (const auto& [key, life] : lives_) CHECK(life.over);
    CHECK(ends_[Step::dead] + ends_[Step::dropped] == events.dead);
    CHECK(ends_[Step::expired] == events.expired);
    CHECK(ends_[Step::done] + ends_[Step::failed] + ends_[Step::cancelled] ==
          events.done + events.cancelled + calls_);
    CHECK(lives_.size() == events.accepted + calls_);
  }

  void started() { ++calls_; }

 private:
  struct Life {
    bool accepted = false;
    bool inside = false;
    bool over = false;
    int attempts = 0;
  };
  std::map<std::pair<EventId, std::string>, Life> lives_;
  std::map<Step, std::uint64_t> ends_;
  std::uint64_t calls_ = 0;
};

}  // namespace

TEST_CASE("records: each life is whole, and they add up to the counts", "[records]") {
  wisp::test::for_each_seed([](std::uint64_t seed) {
    World world{seed};
    Lives lives;
    const auto work = [&world](int n, wisp::Context& context) -> Status {
      context.elapse(wisp::uniform(world.random(), 0, 20) * 1ms);
      if (wisp::uniform(world.random(), 0, 2) != 0) return Status();
      return n % 2 == 0 ? wisp::unavailable("later") : wisp::invalid_argument("never");
    };
    const auto posted = wisp::function("posted", work, {.retry = {.attempts = 3}});
    const auto started =
        wisp::function("started", work, {.retry = {.attempts = 2}, .limits = {.concurrency = 3}});
    wisp::Runtime runtime{wisp::Catalogue().add(posted).add(started),
                          world.options({.queue = {.count = 8}})};
    const auto watch = runtime.observe(lives.sink());
    auto oldest = runtime.on("a.*")
                      .deliver({.queue = {.count = 3, .act = wisp::Overflow::drop_oldest}})
                      .to(work);
    const auto newest = runtime.on("a.>")
                            .deliver({.queue = {.count = 2, .act = wisp::Overflow::drop_newest}})
                            .to(posted);
    const auto here = runtime.on("a.b").deliver({.synchronous = true}).to(work);
    const auto text = runtime.on("a.c").to([](const std::string&) {});
    for (int i = 0; i < 30; ++i) {
      switch (wisp::uniform(world.random(), 0, 4)) {
        case 0:
          (void)runtime.post(posted, i, {.key = i % 3 == 0 ? "k" : ""});
          break;
        case 1:
          (void)runtime.emit("a.b", i);
          break;
        case 2:
          (void)runtime.emit("a.c", i);
          break;
        case 3: {
          auto pending = runtime.start(started, i);
          // A refused one was never accepted.
          if (!pending.ready()) lives.started();
          if (i % 4 == 0) pending.cancel();
          break;
        }
        default:
          world.advance(wisp::uniform(world.random(), 0, 30) * 1ms);
      }
    }
    if (seed % 2 == 0) oldest.cancel();
    if (seed % 5 != 0) world.advance(10min);
    (void)runtime.stop(10ms);
    world.advance(1min);
    wisp::test::conserved_at_rest(runtime);
    lives.check(runtime.stats().events);
  });
}
