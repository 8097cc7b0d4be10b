// What stands in a model's folder beside the model: it comes along when the model is written to
// another place, and it stays when the model is replaced.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "package/package.h"

namespace mw::package {

// Throws io unless `target` is free, an empty folder, or a model, which alone may be replaced.
void expect_replaceable(const std::filesystem::path& target, Container container);

// The same for a folder of parts: free, an empty folder, or a model in parts.
void expect_replaceable_parts(const std::filesystem::path& target);

// Throws invalid_argument when `target` holds a file of its own under the name of one that would
// come along from the folder `source`, with another content.
void expect_no_conflict(const std::filesystem::path& source, const std::filesystem::path& target);

// Whether a file of this name tells of a tokenizer or of the texts that a model is for.
bool is_of_tokenizer(const std::string& name);

// Copies the regular files at the top of the folder `source`, such as a tokenizer, into `folder`,
// as far as their names are `wanted`. Returns a sentence for each symbolic link that is left out
// because it leads out of the model.
std::vector<std::string> copy_extras(const std::filesystem::path& source,
                                     const std::filesystem::path& folder,
                                     const std::function<bool(const std::string&)>& wanted);

// Brings into `folder`, a model about to replace `old`, all of `old` that is not its model: other
// files, hidden ones, links as links, sub-folders. The files of `weights` count as its model.
void keep_others(const std::filesystem::path& old, const std::filesystem::path& folder,
                 const std::vector<std::shared_ptr<const MappedFile>>& weights);
// The same for a model in parts, which lie at these places in both folders.
void keep_others(const std::filesystem::path& old, const std::filesystem::path& folder,
                 const std::vector<std::shared_ptr<const MappedFile>>& weights,
                 const std::vector<std::filesystem::path>& parts);

}  // namespace mw::package
