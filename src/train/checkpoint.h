// Checkpoints: everything that a run needs to go on as if it had never stopped.
//
//   write_checkpoint(folder / checkpoint_name(100), {student.state(), progress});
//   Checkpoint last = read_checkpoint(checkpoints_in(folder).back().path);
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "millwright/tensor.hpp"

namespace mw::training {

// Where a run stands, beside the tensors.
struct RunPosition {
  int64_t step = 0;
  int64_t cursor = 0;  // examples drawn from the shuffled sequence
  int64_t tokens = 0;  // labels that counted
  double seconds = 0;  // of training
  std::optional<double> best_loss;
  int64_t best_step = 0;
  int64_t validated_step = -1;  // of the last validation; -1: none, or not known
  int64_t stale = 0;            // validations since the best one
  // Settings that a run cannot change on its way: `seed` and its value.
  std::map<std::string, std::string> fixed;
};

struct Checkpoint {
  TensorMap state;  // of StudentModel
  RunPosition position;
};

// A .safetensors file: the state, the position as JSON bytes, a checksum of both. Atomic.
void write_checkpoint(const std::filesystem::path& path, const Checkpoint& checkpoint);
// Throws io or invalid_argument, with the file's name and "damaged", for one that is not whole.
Checkpoint read_checkpoint(const std::filesystem::path& path);
// Nothing where there is none, or none that is whole.
std::optional<Checkpoint> find_checkpoint(const std::filesystem::path& path);

struct CheckpointFile {
  int64_t step;
  std::filesystem::path path;
};
std::string checkpoint_name(int64_t step);  // "step-00000100.safetensors"
inline constexpr const char* kBestCheckpoint = "best.safetensors";
// By step, ascending.
std::vector<CheckpointFile> checkpoints_in(const std::filesystem::path& folder);
// Removes all but the last `keep` and what interrupted writes left behind.
void tidy_checkpoints(const std::filesystem::path& folder, size_t keep);

}  // namespace mw::training
