// A handler's exception is contained, whichever object's templates the linker kept.
#include <cstdio>

#include "handlers.hpp"

int main() {
  const Handler throwing = throwing_handler();
  const Handler plain = plain_handler();
  wisp::Runtime runtime{wisp::Catalogue().add(throwing).add(plain)};
  const wisp::Result<int> thrown = runtime.call(throwing, 1);
  if (thrown.status().code() != wisp::StatusCode::kInternal) return std::puts("not contained"), 1;
  const wisp::Result<int> two = runtime.call(plain, 1);
  if (!two.ok() || *two != 2) return std::puts("the plain handler failed"), 1;
  return 0;
}
