// What a publish does out of the ordinary: versions, stops, dead letters.
#include <memory>
#include <utility>

#include <wisp/service/detail/publishing.hpp>
#include <wisp/service/invoker.hpp>

namespace wisp::inline v0::detail {

// Each on the version that is chosen for it.
void PublishHere::deliver_versions(const PublishRow& row, Route* const* from, const void* in,
                                   Keep keep) {
  FunctionState& function = *row.function;
  Route* const* const end = row.routes.data() + row.routes.size();
  for (; from != end; ++from) {
    const VersionUse version(function, function.directions, {}, invoker_.parts().random);
    cell_ = &shard_->cell(version->line);
    frame_.runs(*version->definition);
    const Outcome outcome = deliver_one(**from, in, keep);
    frame_.runs(*function.definition);
    if (!version.shadowed() || outcome == Outcome::rejected) continue;
    frame_.leave();  // what copies the input is not inside the handler
    Shadow::follow(invoker_, function, version, in, nullptr, outcome);
    frame_.enter(*function.definition);
  }
}

// Those that the last delivery asked for: the next one's are others.
void PublishHere::forget_stops() {
  if (frame_.whole().stops != nullptr) invoker_.forget_stops(frame_.whole());
}

const Lineage& PublishHere::lineage() {
  if (lineage_ == nullptr) {
    Lineage& own = slot_->lineages[static_cast<std::size_t>(level_ - slot_->levels.data())];
    own.trace = event_;
    lineage_ = &own;
  }
  return *lineage_;
}

// The run that has just ended, in a row.
void PublishHere::bury_counted(Cell& cell, Attempted& failed, Keep keep) {
  cell.add(Count::untimed, 1);
  cell.add(Count::errors, 1);
  bury(*left_, failed, keep);
}

// Outside of the frame: what becomes of the letter is no doing of the handler's.
void PublishHere::bury(Route& route, Attempted& failed, Keep keep) {
  struct Dead {
    PublishHere& here;
    explicit Dead(PublishHere& publish) : here(publish) { here.frame_.leave(); }
    ~Dead() {
      here.invoker_.sums().add(Counter::dead);
      here.frame_.enter(here.definition());
    }
  };
  (void)frame_.whole();  // with which the errand comes
  const Dead dead(*this);
  if (counting_) end_row();
  chained_ = false;
  route.function().note_failed(failed.threw ? Outcome::threw : Outcome::error);
  count(route.function().dead);
  if (!whole_) whole_ = keep();
  DeadLetter letter{*whole_, definition().name, std::move(failed.status), 1};
  invoker_.note(Step::dead, route, *letter.event, 1, letter.error);
  invoker_.keep_letter(route, std::move(letter));
}

}  // namespace wisp::inline v0::detail
