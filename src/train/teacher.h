// What a student and its teacher have in common, and how their logits lie beside each other; a
// teacher that is run by itself.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "lm/language_model.h"
#include "train/objective.h"
#include "train/teacher_cache.h"

namespace mw::training {

// Throws where both have a tokenizer and an id is another token for the teacher.
void check_vocabularies(const lm::Model& student, const lm::Model& teacher);

// A model and the name of its logits, "" where they are to be found.
struct Speaker {
  const lm::Model& model;
  const std::string& target;
};
// For inputs of these shapes. Nothing where one of the two is no language model.
std::optional<TeacherLayout> layout_of_teacher(const Speaker& student, const Speaker& teacher,
                                               const Shapes& shapes);

// A model that is fed token ids, with inputs, caches, rows and lengths of its own.
class Teacher {
 public:
  // Throws unsupported where it names the likeliest token only.
  Teacher(std::shared_ptr<const lm::Model> model, const DistillOptions& options);

  // Keeps what it says in the file `options.cache`, and takes it from there. `binding`: what the
  // file is of, beside the teacher and the options. Throws as TeacherCache does.
  void keep(TeacherCache::Binding binding);
  [[nodiscard]] bool is_kept() const { return cache_.has_value(); }

  // As ops::Taught has it, fp32: [rows, positions, classes] and [rows, positions].
  struct Said {
    Tensor classes;
    std::optional<Tensor> rest;  // of a teacher that is kept
  };
  // Of ids int32 [rows, time]: of every position, or of the last one. Throws invalid_argument where
  // it tells another number of classes apart, or does not take such ids.
  [[nodiscard]] Said say(const Tensor& ids, bool last_only, int64_t classes);
  // Throws what say() would of ids of that shape, where that can be told before. Of a teacher that
  // is kept nothing is asked.
  void expect(lm::CallShape ids, bool last_only, int64_t classes) const;
  // How it goes through such ids, to be put behind "runs apart": ", row by row through its cache".
  [[nodiscard]] std::string manner(lm::CallShape ids, bool last_only) const;

  // Logits in several outputs are put together.
  [[nodiscard]] bool is_in_parts() const {
    return model_->target(options_.target).parts.size() > 1;
  }
  // Throws where it is no language model.
  [[nodiscard]] const lm::LanguageModel& language() const;

 private:
  [[nodiscard]] Tensor logits_of(const Tensor& ids, bool last_only) const;
  [[nodiscard]] Said from_file(const Tensor& ids, int64_t positions, int64_t classes);
  void fill_file(const Tensor& ids, int64_t positions, int64_t classes);
  void expect_window(int64_t time, bool last_only) const;
  [[nodiscard]] int64_t rows_per_call(lm::CallShape ids) const;

  std::shared_ptr<const lm::Model> model_;
  DistillOptions options_;
  mutable std::optional<lm::LanguageModel> language_;  // made when it is first needed
  std::optional<TeacherCache> cache_;
};

}  // namespace mw::training
