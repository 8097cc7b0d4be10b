// What a student writes: its package, and what is to be said about it.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "exporter/sharing.h"
#include "package/package.h"
#include "train/student.h"

namespace mw {

// Where a student came from and how far its changes reach.
struct StudentPackage {
  const package::Model& model;
  const ir::Function& function;
  exporter::Reach reach;
  std::string stands_for;  // CoreMLModelWrapper::Impl::stands_for
};

// Of StudentModel::save() and notes().
std::vector<std::string> save_student(const StudentPackage& source,
                                      const training::Student& student,
                                      const std::filesystem::path& path);
std::vector<std::string> notes_of_student(const StudentPackage& source,
                                          const training::Student& student);

}  // namespace mw
