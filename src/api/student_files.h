// What a student writes: its package, and what is to be said about it.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "api/student_adapters.h"
#include "exporter/sharing.h"
#include "package/package.h"
#include "train/trainer.h"

namespace mw {

// Where a student came from and how far its changes reach.
struct StudentSource {
  const package::Model& model;
  const ir::Function& function;
  exporter::Reach reach;
};

// Of StudentModel::save() and notes().
std::vector<std::string> save_student(const StudentSource& source, const train::Trainer& trainer,
                                      const StudentAdapters& adapters,
                                      const std::filesystem::path& path);
std::vector<std::string> notes_of_student(const StudentSource& source,
                                          const train::Trainer& trainer,
                                          const StudentAdapters& adapters);

}  // namespace mw
