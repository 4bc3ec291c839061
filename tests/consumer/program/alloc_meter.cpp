// The component alloc_meter, as its users link it: what a handler allocates is on its receipt.
#include <string>

#include <wisp/alloc_meter/allocations.hpp>
#include <wisp/wisp.hpp>

int main() {
  const auto letter = wisp::function("letter", [](int n) { return std::string(1000, 'a') += n; });
  wisp::Runtime runtime{wisp::Catalogue().add(letter)};
  auto pending = runtime.start(letter, 98);
  if (!pending.wait().ok()) return 1;
  const wisp::Receipt& receipt = pending.receipt();
  return receipt.allocations > 0 && receipt.allocated_bytes > 1000 ? 0 : 1;
}
