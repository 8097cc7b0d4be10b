// apply_config(): options of a command from a YAML file.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

namespace mw::cli {

// Keys are the names of options without dashes in front (`batch-size` or `batch_size`), `model` the
// positional one; a list gives several values. A file of mlx-lm (mlx_config.h) is one for `train`,
// too. What stands on the command line counts more. Throws with FILE:LINE for a key that is no
// option or a value that does not fit.
void apply_config(CLI::App& command, const std::string& path);

}  // namespace mw::cli
