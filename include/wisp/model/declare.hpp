// Functions declared at namespace scope, found at link time.
//
//   WISP_FUNCTION(price_parcel, .timeout = 200ms, .retry = {.attempts = 3}) =
//       [](const Parcel& parcel, wisp::Context&) -> wisp::Result<wisp::Money> { ... };
//
//   int main() { wisp::Runtime runtime{wisp::linked_functions()}; ... }
//
//   // another file, which knows only the name and the types:
//   const auto price = wisp::named<wisp::Money(Parcel)>("price_parcel");
//
// The macro defines a handle that is internal to its .cpp and an entry in the process's catalogue.
// Nothing reads the catalogue but linked_functions(), so a process may have any number of Runtimes,
// each with what it was given. Put functions in a namespace: a global `index` or `remove` collides
// with the C library's. A static archive drops what nobody refers to; link functions with CMake's
// wisp_add_functions(), and check with Runtime::expect().
//
// Threads: any. The catalogue is the one mutable global of wisp; a mutex guards it.
#pragma once

#include <memory>
#include <source_location>
#include <string_view>
#include <utility>
#include <vector>

#include <wisp/model/function.hpp>

namespace wisp::inline v0 {

// Definitions to start a Runtime with. A value.
struct Catalogue {
  std::vector<std::shared_ptr<const detail::Definition>> definitions;

  template <class R, class In>
  Catalogue& add(const Function<R, In>& function) {
    definitions.push_back(function.definition());
    return *this;
  }
};

// What WISP_FUNCTION has declared in this process until now, and the expectations of wisp::named at
// namespace scope.
Catalogue linked_functions();

namespace detail {

void link(const std::shared_ptr<const Definition>& definition);
void unlink(const Definition& definition);

// A handle that is in the catalogue while it lives: until exit, or until its shared object is
// unloaded.
template <class R, class In>
class Linked : public Function<R, In> {
 public:
  explicit Linked(Function<R, In> function) : Function<R, In>(std::move(function)) {
    link(this->definition());
  }
  ~Linked() { unlink(*this->definition()); }
  Linked(const Linked&) = delete;
  Linked& operator=(const Linked&) = delete;
};

inline namespace WISP_EXCEPTIONS_NAMESPACE {

struct Declaration {
  std::string_view name;
  FunctionOptions options;
  std::source_location where;

  template <class F>
  auto operator=(F&& callable) const {
    auto made = make_function(name, std::forward<F>(callable), options, where);
    using Made = decltype(made);
    return Linked<typename Made::Output, typename Made::Input>(std::move(made));
  }
};

}  // namespace WISP_EXCEPTIONS_NAMESPACE

}  // namespace detail

// A function that another file or bundle defines. At namespace scope every Runtime that starts with
// linked_functions() checks it, elsewhere its first use does: kNotFound, or kInvalidArgument naming
// both signatures.
template <class Signature>
auto named(std::string_view name, std::source_location where = std::source_location::current()) {
  using Types = detail::NamedTypes<Signature>;
  using R = typename Types::Output;
  using In = typename Types::Input;
  auto definition = std::make_shared<detail::Definition>();
  definition->name = name;
  definition->in = detail::type_or_null<In>();
  definition->out = detail::type_or_null<R>();
  definition->where = where;
  // Outside of every function there is no function name.
  definition->expected = std::string_view(where.function_name()).empty();
  if (definition->expected) detail::link(definition);
  return Function<R, In>(std::move(definition));
}

}  // namespace wisp::inline v0

// Declares a function: WISP_FUNCTION(name, .option = value, ...) = handler;  See FunctionOptions.
#define WISP_FUNCTION(identifier, ...)                                                   \
  [[maybe_unused]] static const auto identifier = ::wisp::detail::Declaration {          \
    #identifier, ::wisp::FunctionOptions{__VA_ARGS__}, ::std::source_location::current() \
  }
