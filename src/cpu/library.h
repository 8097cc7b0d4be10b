// The library of products that this build was made with: MW_GEMM chooses it.
#pragma once

#include <string>

namespace mw::cpu {

// Its name and version, e.g. "oneDNN 3.2.1".
std::string library_text();

}  // namespace mw::cpu
