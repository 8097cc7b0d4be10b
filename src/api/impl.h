// What stands behind CoreMLModelWrapper and State: the package, the function to run and its
// session.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "exec/session.h"
#include "lm/model.h"
#include "millwright/millwright.hpp"
#include "package/package.h"

namespace mw {

class StudentModel;
namespace training {
class Student;
}  // namespace training

struct State::Impl {
  exec::States cells;
};

struct CoreMLModelWrapper::Impl final : lm::Model {
  std::filesystem::path path;
  LoadOptions options;
  package::Model model;
  const package::FunctionDescription* description = nullptr;
  const ir::Function* function = nullptr;       // as the file has it, and the adapters
  std::unique_ptr<const ir::Function> adapted;  // that function, where there are adapters
  std::shared_ptr<passes::Watch> watch;         // of all pipelines, those of students included
  std::unique_ptr<const ir::Function> lowered;  // in the compute dtype; the session specialises it
  // What plans make of constants, for all sessions.
  std::shared_ptr<plan::ConstantPool> pool;
  std::unique_ptr<exec::Session> session;

  const Tokenizer& tokenizer() const override;
  std::string name() const override { return path.string(); }
  std::map<std::string, std::string> identity() const override;
  std::vector<FeatureDescription> inputs() const override;
  std::vector<FeatureDescription> outputs() const override;
  std::vector<FeatureDescription> states() const override;
  std::map<std::string, std::string> metadata() const override;
  std::vector<std::string> stated_roles() const override { return options.role; }
  std::optional<int64_t> places(const std::string& state) const override;
  int64_t vocabulary() const override;
  lm::Target target(const std::string& wanted) const override;
  lm::Ending ending(const std::string& output,
                    const std::function<Shapes()>& shapes) const override;
  std::optional<Shape> shape_of(const std::string& output, const Shapes& inputs) const override;
  TensorMap prepare(const TensorMap& given) const override;
  exec::States make_states() const override { return session->make_states(); }
  exec::RunResult run(const TensorMap& inputs, exec::States& states) const override {
    return run(inputs, &states, {});
  }
  exec::RunResult read(const TensorMap& inputs, exec::States& states,
                       const lm::Reading& reading) const override;
  std::shared_ptr<const lm::Model> beside(const std::string& name) const override;
  // The model as texts are read that are there as a whole: where it takes one token a call and a
  // function beside it a block without logits, both as one function with the logits of a block
  // (ops::every_position). The same model where there is no such function.
  static CoreMLModelWrapper for_texts(const CoreMLModelWrapper& model);
  // The function of the file that such a one is in place of; empty: it is of the file itself.
  std::string stands_for;
  // Null: no states are passed, which a model that has some refuses.
  exec::RunResult run(const TensorMap& inputs, exec::States* states,
                      const std::vector<std::string>& taps) const;

  // Mapped weights that plans read, and everything made from weights.
  uint64_t weight_bytes_held() const;

 private:
  // The function with the outputs of a reading alone.
  struct Read {
    std::unique_ptr<const ir::Function> function;  // in the compute dtype
    std::string position;                          // its input that names the position
    std::unique_ptr<exec::Session> session;
  };
  const Read& read_for(const lm::Reading& reading) const;
  // Arguments of the function, as callers see them.
  std::vector<FeatureDescription> described(const std::vector<package::Feature>& arguments) const;
  // Null where no functions of the package make one.
  std::shared_ptr<const Impl> by_blocks() const;
  // The session that keeps these values beside the outputs; the last one asked for is kept.
  std::shared_ptr<const exec::Session> tapped(const std::vector<std::string>& taps) const;

  mutable std::mutex reads_mutex_;
  mutable std::map<std::string, Read> reads_;  // by their outputs
  mutable std::mutex tapped_mutex_;
  mutable std::vector<std::string> taps_;
  mutable std::shared_ptr<const exec::Session> tapped_;
  mutable std::mutex endings_mutex_;
  mutable std::map<std::string, lm::Ending> endings_;
  mutable std::once_flag tokenizer_once_;
  mutable std::optional<Tokenizer> tokenizer_;
  mutable std::optional<Error> tokenizer_error_;
  mutable std::mutex beside_mutex_;
  mutable std::map<std::string, std::shared_ptr<const Impl>> beside_;
  mutable std::optional<std::shared_ptr<const Impl>> by_blocks_;  // once it was looked for
};

// The model behind the interface that other rooms see; lives as long as anybody holds it.
std::shared_ptr<const lm::Model> shared_model(const CoreMLModelWrapper& model);
// What stands behind a StudentModel.
training::Student& student_of(const StudentModel& student);

}  // namespace mw
