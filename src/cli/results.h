// Which outputs of a prediction are kept, and writing them to a file.
#pragma once

#include <string>
#include <vector>

#include "millwright/millwright.hpp"

namespace mw::cli {

// A path of tensors that a command can write, by its extension; anything else is refused.
void expect_tensor_path(const std::string& option, const std::string& path);

// The outputs that --only names, of several separated by commas; all where it is empty. A name that
// is no output is refused with a list of those that are. `taps` are globs of values that stay.
class Chosen {
 public:
  Chosen(const std::vector<std::string>& only, const std::vector<std::string>& taps,
         const CoreMLModelWrapper& model);
  // Leaves out what is not chosen. The keys of a dictionary come with its values.
  void keep_in(TensorMap& result) const;

 private:
  [[nodiscard]] bool keeps(const std::string& name) const;

  std::vector<std::string> names_, only_, taps_;
};

// Writes .npz or .safetensors. The latter cannot hold text: such tensors are left out, and named in
// a line on stderr; where nothing else is there, that is an error and nothing is written.
void save_tensors(const std::string& path, TensorMap tensors);

}  // namespace mw::cli
