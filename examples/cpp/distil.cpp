// Distils a small language model from a larger one: distil TEACHER STUDENT TEXT OUTPUT [STEPS]
#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <iterator>
#include <millwright/training.hpp>
#include <random>

namespace {

// Eight rows of the text from random places; the labels are the same rows one token later.
mw::Batch random_batch(const std::vector<int32_t>& ids, std::mt19937& random) {
  constexpr int64_t kRows = 8, kTime = 64;
  mw::Tensor inputs(mw::DType::kI32, {kRows, kTime}), labels(mw::DType::kI32, {kRows, kTime});
  std::uniform_int_distribution<size_t> starts(0, ids.size() - kTime - 1);
  for (int64_t row = 0; row < kRows; ++row) {
    const int32_t* start = ids.data() + starts(random);
    std::copy_n(start, kTime, inputs.mutable_data<int32_t>() + row * kTime);
    std::copy_n(start + 1, kTime, labels.mutable_data<int32_t>() + row * kTime);
  }
  return {inputs, labels};
}

void distil(const char* teacher, const char* model, const char* text, const char* output,
            int steps) {
  const auto loaded = mw::CoreMLModelWrapper::load(model);
  std::ifstream file(text);
  const std::string words{std::istreambuf_iterator<char>(file), {}};
  const std::vector<int32_t> ids = loaded.tokenizer().encode(words);
  if (ids.size() < 66) throw std::runtime_error(std::string(text) + ": too short or not there");

  mw::StudentOptions options;
  options.optimizer = mw::AdamW{.learning_rate = 2e-3F};
  options.schedule = {mw::Schedule::Kind::kCosine, steps / 10, steps};
  options.clip_norm = 1;
  mw::StudentModel student(loaded, options);
  student.set_teacher(mw::CoreMLModelWrapper::load(teacher), {.temperature = 2, .alpha = 0.5F});

  std::mt19937 random(1);
  for (int i = 0; i < steps; ++i) {
    const mw::StepResult result = student.training_step(random_batch(ids, random));
    if (i % 10 == 0 || i + 1 == steps) {
      std::cout << "step " << result.step << ": loss " << result.loss << std::endl;
    }
  }
  for (const std::string& warning : student.save(output)) std::cout << warning << '\n';
  std::cout << "saved " << output << '\n';
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 5) {
    std::cerr << "usage: distil TEACHER STUDENT TEXT OUTPUT [STEPS]\n";
    return 1;
  }
  try {
    distil(argv[1], argv[2], argv[3], argv[4], argc > 5 ? std::atoi(argv[5]) : 200);
    return 0;
  } catch (const std::exception& e) {  // mw::Error is one
    std::cerr << "error: " << e.what() << '\n';
    return 1;
  }
}
