// A typed function as a gateway sees it: JSON in, JSON out.
//
// Threads: any.
#pragma once

#include <array>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>

#include <wisp/base/config.hpp>
#include <wisp/base/fields.hpp>
#include <wisp/base/reader.hpp>
#include <wisp/base/schema.hpp>
#include <wisp/base/status.hpp>
#include <wisp/http/message.hpp>
#include <wisp/json/json.hpp>
#include <wisp/runtime.hpp>

namespace wisp::inline v0::http::detail {

using NextPiece = std::function<Result<std::optional<std::string>>()>;

// What a call came to.
struct Outcome {
  Status status{};
  std::string json{};
  std::optional<Response> response{};  // instead of JSON
  bool empty = false;                  // there is no value
};

// Where the input of a call comes from.
struct Source {
  const Reader* reader = nullptr;  // null: there is no value
  std::function<Request()> request = [] { return Request(); };
};

// What the elements of a container are, as texts of a query are made into them; other where there
// is none.
template <class T>
constexpr FieldKind element_kind() {
  if constexpr (wisp::detail::IsOptional<T>::value) {
    return element_kind<typename wisp::detail::IsOptional<T>::Value>();
  } else if constexpr (wisp::detail::field_kind<T>() == FieldKind::other &&
                       requires { typename T::value_type; }) {
    constexpr FieldKind kind = wisp::detail::field_kind<typename T::value_type>();
    return kind == FieldKind::other ? FieldKind::text : kind;
  } else {
    return FieldKind::other;
  }
}

// Of a text that becomes the field: one that is not there needs no schema.
template <class Field>
void parameter_schema(Schema& to) {
  if constexpr (wisp::detail::IsOptional<Field>::value)
    to.of<typename wisp::detail::IsOptional<Field>::Value>();
  else to.of<Field>();
}

// A field of an input, as texts of the path and the query become it.
struct ParameterInfo {
  FieldKind element;           // see element_kind()
  bool required;               // a value must have it
  void (*schema)(Schema& to);  // of the text
};

// By the place of the field in its type.
template <class T>
inline constexpr auto kParameters = std::apply(
    []<class... Field>(const Field&...) {
      return std::array<ParameterInfo, sizeof...(Field)>{
          ParameterInfo{element_kind<typename Field::Type>(),
                        !wisp::detail::IsOptional<typename Field::Type>::value,
                        &parameter_schema<typename Field::Type>}...};
    },
    wisp::detail::fields_of<T>().fields);

// What a call that went well is answered with.
enum class Output { nothing, json, response };

class Started {
 public:
  virtual ~Started() = default;
  virtual void cancel() = 0;
};

class Endpoint {
 public:
  virtual ~Endpoint() = default;

  virtual std::string_view name() const = 0;
  // Whether the Runtime has the function, and as it is here.
  virtual Status find_in(Runtime& runtime) const = 0;
  // Null: takes none. Of a Request: takes_request().
  virtual const TypeInfo* input() const = 0;
  virtual bool takes_request() const = 0;
  virtual bool takes_cloud_events() const { return false; }
  // The fields of the input, in their order.
  virtual std::span<const ParameterInfo> parameters() const { return {}; }
  virtual Output output() const = 0;
  // Of what the body has to say, where these fields come from elsewhere.
  virtual void input_schema(Schema& to, std::span<const std::string_view> without) const = 0;
  virtual void output_schema(Schema& to) const = 0;

  virtual Outcome call(Runtime& runtime, const Source& from, const CallOptions& options) const = 0;
  // Calls done(Outcome) once, on the thread that completes the call or on this one. Null where the
  // input is none: done was called.
  virtual std::unique_ptr<Started> start(Runtime& runtime, const Source& from,
                                         const CallOptions& options,
                                         std::function<void(Outcome)> done) const = 0;
};

inline namespace WISP_EXCEPTIONS_NAMESPACE {

// What is beside the handler, the codecs and copies, may throw too.
template <class Body>
Outcome contained(Body body) {
  Outcome outcome;
  wisp::detail::Attempted failed;
  const bool well = wisp::detail::guarded(failed, [&] {
    outcome = body();
    return true;
  });
  if (!well) outcome = {.status = std::move(failed.status)};
  return outcome;
}

inline Response contained_stream(Response response) {
  if (!response.stream) return response;
  response.stream = [next = std::move(response.stream)]() -> Result<std::optional<std::string>> {
    Result<std::optional<std::string>> piece = std::optional<std::string>();
    wisp::detail::Attempted failed;
    const bool well = wisp::detail::guarded(failed, [&] {
      piece = next();
      return true;
    });
    if (!well) return std::move(failed.status);
    return piece;
  };
  return response;
}

template <class R>
Outcome outcome_of(const Result<R>& result) {
  if (!result.ok()) return {.status = status_of(result)};
  if constexpr (std::is_void_v<R>) return {.empty = true};
  else if constexpr (std::is_same_v<R, Response>) return {.response = contained_stream(*result)};
  else return {.json = json::write(*result)};
}

template <class R>
class StartedCall final : public Started {
 public:
  explicit StartedCall(Pending<R> pending) : pending_(std::move(pending)) {}
  void cancel() override { pending_.cancel(); }

 private:
  Pending<R> pending_;
};

template <class R, class In>
class TypedEndpoint final : public Endpoint {
 public:
  static constexpr bool kRequest = std::is_same_v<In, Request>;
  static constexpr bool kInput = !std::is_void_v<In> && !kRequest;
  static constexpr Output kOutput = std::is_void_v<R>             ? Output::nothing
                                    : std::is_same_v<R, Response> ? Output::response
                                                                  : Output::json;

  explicit TypedEndpoint(Function<R, In> function) : function_(std::move(function)) {
    if constexpr (kInput)
      static_assert(HasCodec<In>,
                    "wisp: a route's function takes what JSON is made into: a type "
                    "with a codec (WISP_FIELDS), or http::Request");
    if constexpr (kOutput == Output::json)
      static_assert(HasCodec<R>,
                    "wisp: a route's function returns what is made into JSON: a type "
                    "with a codec (WISP_FIELDS), or http::Response");
  }

  std::string_view name() const override { return function_.name(); }
  Status find_in(Runtime& runtime) const override {
    return runtime.registry().resolve(*function_.definition()).status();
  }
  const TypeInfo* input() const override {
    if constexpr (kInput) return &type_info<In>();
    else return nullptr;
  }
  bool takes_request() const override { return kRequest; }
  std::span<const ParameterInfo> parameters() const override {
    if constexpr (kInput) {
      if constexpr (wisp::detail::HasFields<In>) return kParameters<In>;
    }
    return {};
  }
  Output output() const override { return kOutput; }
  void input_schema([[maybe_unused]] Schema& to,
                    [[maybe_unused]] std::span<const std::string_view> without) const override {
    if constexpr (kInput) {
      if constexpr (requires { Codec<In>::schema_without(to, without); }) {
        if (!without.empty()) return Codec<In>::schema_without(to, without);
      }
      to.of<In>();
    }
  }
  void output_schema([[maybe_unused]] Schema& to) const override {
    if constexpr (kOutput == Output::json) to.of<R>();
  }

  Outcome call(Runtime& runtime, const Source& from, const CallOptions& options) const override {
    return contained([&]() -> Outcome {
      if constexpr (std::is_void_v<In>) {
        return outcome_of<R>(runtime.call(function_, options));
      } else {
        const Result<In> in = read(from);
        if (!in.ok()) return {.status = in.status()};
        return outcome_of<R>(runtime.call(function_, *in, options));
      }
    });
  }

  std::unique_ptr<Started> start(Runtime& runtime, const Source& from, const CallOptions& options,
                                 std::function<void(Outcome)> done) const override {
    std::optional<Pending<R>> pending;
    Outcome refused = contained([&]() -> Outcome {
      if constexpr (std::is_void_v<In>) {
        pending.emplace(runtime.start(function_, options));
      } else {
        Result<In> in = read(from);
        if (!in.ok()) return {.status = in.status()};
        pending.emplace(runtime.start(function_, *std::move(in), options));
      }
      return {};
    });
    if (!pending) {
      done(std::move(refused));
      return nullptr;
    }
    pending->then([done = std::move(done)](const Result<R>& result) {
      done(contained([&result] { return outcome_of<R>(result); }));
    });
    return std::make_unique<StartedCall<R>>(*std::move(pending));
  }

 private:
  static Result<In> read(const Source& from)
    requires(!std::is_void_v<In>)
  {
    if constexpr (kRequest) return from.request();
    else if (from.reader == nullptr) return invalid_argument("the request has no body");
    else return from.reader->read<In>();
  }

  Function<R, In> function_;
};

}  // namespace WISP_EXCEPTIONS_NAMESPACE
}  // namespace wisp::inline v0::http::detail
