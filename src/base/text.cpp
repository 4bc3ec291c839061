#include <wisp/base/text.hpp>

namespace wisp::inline v0::detail {

const char text_seed = 0;

}  // namespace wisp::inline v0::detail
