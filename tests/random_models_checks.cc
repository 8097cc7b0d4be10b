// Judging by exit code, by the lines on stderr, and by the reference.
#include "random_models_checks.h"

#include <fmt/ranges.h>

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>
#include <regex>
#include <sstream>

#include "base/tensor_file.h"
#include "package/testing.h"

namespace mw::testing {
namespace {

using nlohmann::json;

constexpr int64_t kGenerated = 3;

bool tells_nan(const std::string& text) {
  static const std::regex kNan(R"re(\b-?nan\b|"(loss|mean_loss|perplexity|error)": null)re");
  return std::regex_search(text, kNan);
}

bool is_run(const Verb& verb) { return verb.name.starts_with("run"); }

double tolerance(const Sum& sum, double relative) {
  return relative * (1 + std::abs(sum.mean())) + 1.5 * sum.bound();
}

bool near(const Tensor& a, const Tensor& b) {
  if (a.dtype() != b.dtype() || a.shape() != b.shape()) return false;
  if (a.dtype() == DType::kString) {
    return std::equal(a.data<std::string>(), a.data<std::string>() + a.count(),
                      b.data<std::string>());
  }
  for (int64_t i = 0; i < a.count(); ++i) {
    const double x = a.number_at(i), y = b.number_at(i);
    if (std::isnan(x) != std::isnan(y)) return false;
    if (std::abs(x - y) > 2e-3 * std::max(1.0, std::abs(y))) return false;
  }
  return true;
}

// "" where all tensors are there and alike; text may be left out of `a` where that is said.
std::string difference(const TensorMap& a, const TensorMap& b, bool without_text) {
  size_t left_out = 0;
  for (const auto& [name, tensor] : b) {
    const auto found = a.find(name);
    if (found == a.end() && without_text && tensor.dtype() == DType::kString) {
      ++left_out;
      continue;
    }
    if (found == a.end()) return name + " is not there";
    if (!near(found->second, tensor)) return name + " is another";
  }
  return a.size() + left_out == b.size() ? "" : "there are others";
}

// The class that a classifier names is the likeliest.
std::string fault_of_label(const TensorMap& outputs) {
  const auto label = outputs.find("classLabel");
  if (label == outputs.end()) return "";
  const Tensor &shares = outputs.at("classLabel_probs"),
               &keys = outputs.at("classLabel_probs.keys");
  int64_t best = 0;
  for (int64_t i = 1; i < shares.count(); ++i) {
    if (shares.number_at(i) > shares.number_at(best)) best = i;
  }
  const bool named = keys.dtype() == DType::kString;
  const bool right = named ? label->second.data<std::string>()[0] == keys.data<std::string>()[best]
                           : label->second.integer_at(0) == keys.integer_at(best);
  return right ? "" : "the class is not the likeliest";
}

// What a command told: the loss, over how many labels, and what it minimises.
struct Told {
  double loss = 0;
  std::optional<int64_t> count;
  std::string minimises;
};

std::string line_with(const std::string& text, const std::string& begin) {
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with(begin)) return line;
  }
  return "";
}

Told told_by(const Verb& verb, const Outcome& outcome) {
  if (verb.name == "eval") {
    const json answer = json::parse(outcome.out);
    return {answer.at("mean_loss"), answer.at("tokens").get<int64_t>(), ""};
  }
  if (verb.judges) return {json::parse(outcome.out).at("loss"), std::nullopt, ""};
  if (verb.batch > 0) {
    std::ifstream metrics(verb.files.at(1) / "metrics.jsonl");
    std::string line;
    std::getline(metrics, line);
    const json first = json::parse(line);
    return {first.at("loss"), first.at("tokens").get<int64_t>(),
            line_with(outcome.err, "minimises ")};
  }
  const double printed = std::stod(line_with(outcome.out, "loss ").substr(5));
  const double written = read_tensors(verb.files.at(0)).at("loss").number_at(0);
  if (std::abs(printed - written) > 1e-6 * (1 + std::abs(written))) return {NAN, std::nullopt, ""};
  return {written, std::stoll(line_with(outcome.out, "labels ").substr(7)),
          line_with(outcome.out, "minimises ")};
}

std::string fault_of_minimised(const std::string& text, const Verb& verb, const FloatOutput& target,
                               const Sum& sum) {
  if (text.find("'" + target.name + "'") == std::string::npos) return "of another output: " + text;
  if (verb.loss != "cross_entropy" && verb.loss != "distillation") return "";
  const std::string over = fmt::format("over axis {}, {} classes", sum.axis, sum.classes);
  const bool told = verb.data.extension() == ".txt" || text.find(over) != std::string::npos;
  return told ? "" : fmt::format("expected {}, got: {}", over, text);
}

// A verdict of `gradcheck` follows from its rows, and its exit code from the verdict.
std::string fault_of_rows(const Outcome& outcome, bool may_fail) {
  const json answer = json::parse(outcome.out, nullptr, false);
  if (answer.is_discarded()) return "no JSON";
  const double tolerance = answer.at("tolerance");
  bool within = true;
  for (const json& row : answer.at("parameters")) {
    const double a = row.at("autodiff"), d = row.at("difference"), error = row.at("error");
    within = within && error <= tolerance;
    if (error <= tolerance && std::abs(a - d) > 1e-2 * (1 + std::abs(a))) return "hides an error";
  }
  if (answer.at("parameters").empty()) return "checks nothing";
  if (answer.at("passed") != within) return "the verdict is not that of the rows";
  if ((outcome.code == 0) != within) return "the exit code is not the verdict's";
  return within || may_fail ? "" : "finds a wrong gradient";
}

}  // namespace

std::vector<int32_t> text() {
  std::vector<int32_t> ids;
  uint64_t state = 1;
  for (int i = 0; i < 700; ++i) {
    state = state * 6364136223846793005ULL + 1442695040888963407ULL;
    ids.push_back(static_cast<int32_t>((state >> 40) % kTokens));
  }
  return ids;
}

std::string text_of(const std::vector<int32_t>& ids) {
  std::string text;
  for (const int32_t id : ids) text += fmt::format("{} ", static_cast<char>('p' + id));
  return text;
}

Checks::Checks(const RandomModel& model, uint64_t seed, fs::path folder)
    : model_(model), seed_(seed), folder_(std::move(folder)), reference_(model) {}

Verdict Checks::judge(const Verb& verb, const Outcome& outcome) {
  if (outcome.code < 0) return {fmt::format("ended by signal {}", -outcome.code)};
  if (outcome.code > 1) return {fmt::format("exit code {}", outcome.code)};
  const bool answers = outcome.code == 0 || (verb.judges && !outcome.out.empty());
  const std::string notes = fault_of_notes(outcome.err, !answers);
  if (!notes.empty()) return {"stderr: " + notes};
  if (!answers) {
    for (const fs::path& file : verb.files) {
      if (file.extension() != ".run" && fs::exists(file)) return {"wrote a file all the same"};
    }
    return {may_refuse(verb) ? "" : "refuses what it has to take"};
  }
  if (!is_run(verb) && tells_nan(outcome.out + outcome.err)) return {"tells nan"};
  if (tells_nan(outcome.out) && outcome.err.find("NaN") == std::string::npos) {
    return {"does not say that its result is NaN"};
  }
  for (const fs::path& file : verb.files) {
    if (!fs::exists(file)) return {fmt::format("{} was not written", file.filename().string())};
  }
  return judge_answer(verb, outcome);
}

Verdict Checks::judge_answer(const Verb& verb, const Outcome& outcome) {
  if (verb.judges) {
    const std::string fault = fault_of_rows(outcome, model_.has_kinks);
    if (!fault.empty() || verb.loss.empty()) return {fault, true};
  }
  if (!verb.loss.empty()) return judge_loss(verb, outcome);
  if (verb.name.starts_with("generate")) return judge_continuation(verb, outcome);
  if (verb.name == "inspect json") {
    const json answer = json::parse(outcome.out, nullptr, false);
    return {answer.is_discarded() ? "no JSON" : "", true};
  }
  return judge_result(verb);
}

// Results op by op in fp64, as planned, in either kind of file, and of the model converted.
Verdict Checks::judge_result(const Verb& verb) {
  const TensorMap inputs = read_tensors(folder_ / "inputs.safetensors");
  if (verb.name == "convert") {
    if (!fs::exists(folder_ / "run.npz")) return {};  // it refuses these inputs
    const auto converted = CoreMLModelWrapper::load(verb.files.at(0));
    State state = converted.make_state();
    return {difference(converted.predict(inputs, &state, {}), reference_.outputs(inputs), false),
            true};
  }
  if (!is_run(verb) || verb.files.empty()) return {};
  const TensorMap found = read_tensors(verb.files.at(0));
  const bool without_text = verb.files.at(0).extension() == ".safetensors";
  const std::string fault = difference(found, reference_.outputs(inputs), without_text);
  if (!fault.empty() || without_text) return {fault, true};
  return {fault_of_label(found), true};
}

bool Checks::may_refuse(const Verb& verb) const {
  if (verb.name == "convert" || verb.name == "diff" || verb.name.starts_with("inspect"))
    return false;
  const FloatOutput* target = reference_.target("");
  if (!model_.speaks || model_.last_only || target == nullptr) return true;
  if (verb.name.starts_with("generate")) {
    // It may choose an id that the tokenizer has no token for.
    const Value& value = target->value;
    return value.shape.at(static_cast<size_t>(value.classes)) != kTokens;
  }
  return verb.data.extension() != ".txt";
}

std::optional<Sum> Checks::expected(const Verb& verb, const FloatOutput& target) const {
  if (verb.name == "eval") return reference_.score(target, text());
  if (verb.data.extension() == ".txt") {
    auto sum = reference_.first_text_step(target, text(), verb.batch);
    if (sum && verb.loss == "distillation") sum->sum /= 2;
    return sum;
  }
  if (verb.batch > 0) return reference_.first_step(verb.loss, target, verb.data, verb.batch);
  return reference_.loss(verb.loss, target, verb.data);
}

Verdict Checks::judge_loss(const Verb& verb, const Outcome& outcome) {
  const FloatOutput* target = reference_.target(verb.target);
  if (target == nullptr) return {"takes an output though which one is meant cannot be told"};
  // Axes of other models may be read in several ways.
  if (verb.data.extension() == ".txt" && !model_.speaks) return {};
  const std::optional<Sum> sum = expected(verb, *target);
  if (!sum) return {"takes a loss that does not go with this output"};
  const Told told = told_by(verb, outcome);
  const double allowed = tolerance(*sum, verb.judges ? 1e-7 : 2e-5);
  if (!(std::abs(told.loss - sum->mean()) <= allowed)) {
    return {fmt::format("tells a loss of {:.9g}, which is {:.9g} within {:.2g}", told.loss,
                        sum->mean(), allowed)};
  }
  if (told.count && *told.count != sum->count) {
    return {fmt::format("counts {} labels, which are {}", *told.count, sum->count)};
  }
  if (!told.minimises.empty()) {
    const std::string fault = fault_of_minimised(told.minimises, verb, *target, *sum);
    if (!fault.empty()) return {fault};
  }
  return {verb.name.starts_with("grad ") ? fault_of_slope(verb, *target) : "", true};
}

Checks::Moved& Checks::moved(const std::set<std::string>& names, double step) {
  Moved& found = moved_[fmt::format("{} {}", fmt::join(names, " "), step)];
  if (found.reference != nullptr) return found;
  found.model =
      write_random_model(seed_, folder_ / fmt::format("moved-{}", moved_.size()), {names, step});
  found.reference = std::make_unique<Reference>(found.model);
  return found;
}

// The gradients along one direction of all parameters, against the loss of models that lie on
// either side.
std::string Checks::fault_of_slope(const Verb& verb, const FloatOutput& target) {
  constexpr double kStep = 1.0 / 1024;  // weights stay exact
  if (target.value.narrow) return "";   // the steps of its rounding hide the slope
  const std::string prefix = "grad.";
  std::set<std::string> names;
  double slope = 0, scale = 0;
  for (const auto& [key, gradient] : read_tensors(verb.files.at(0))) {
    if (!key.starts_with(prefix)) continue;
    const std::string name = key.substr(prefix.size());
    names.insert(name);
    for (int64_t i = 0; i < gradient.count(); ++i) {
      const double part = gradient.number_at(i) * direction_of(name, static_cast<uint64_t>(i));
      slope += part;
      scale += std::abs(part);
    }
  }
  const auto loss_at = [&](double step) {
    return moved(names, step).reference->loss(verb.loss, target, verb.data).value();
  };
  const Sum before = loss_at(-kStep), after = loss_at(kStep);
  const Sum here = reference_.loss(verb.loss, target, verb.data).value();
  const double difference = (after.mean() - before.mean()) / (2 * kStep);
  const double bend = (after.mean() - 2 * here.mean() + before.mean()) / kStep;
  const double rounding = (after.bound() + before.bound()) / kStep;
  if (model_.has_kinks && std::abs(bend) > 1e-2 * scale) return "";
  const double allowed = 2e-3 * scale + rounding + 1e-5;
  if (std::abs(slope - difference) <= allowed) return "";
  return fmt::format("the slope by its gradients is {:.9g}, by differences {:.9g} within {:.2g}",
                     slope, difference, allowed);
}

Verdict Checks::judge_continuation(const Verb& verb, const Outcome& outcome) {
  const FloatOutput* target = reference_.target("");
  if (target == nullptr) return {"takes an output though which one is meant cannot be told"};
  if (!model_.speaks) return {};
  const auto ids_of = [](const std::string& words) {
    std::vector<int32_t> ids;
    std::istringstream stream(words);
    for (std::string word; stream >> word;) {
      ids.push_back(word.size() == 1 && word[0] >= 'p' ? word[0] - 'p' : -1);
    }
    return ids;
  };
  const auto prompt = ids_of(verb.words.at(4)), said = ids_of(outcome.out);
  const bool begins =
      said.size() >= prompt.size() && std::equal(prompt.begin(), prompt.end(), said.begin());
  if (!begins || std::any_of(said.begin(), said.end(), [](int32_t id) { return id < 0; })) {
    return {"the prompt does not come first, or words are no tokens"};
  }
  const std::vector<int32_t> more(said.begin() + static_cast<int64_t>(prompt.size()), said.end());
  return {reference_.fault_of_continuation(*target, prompt, more, kGenerated), true};
}

}  // namespace mw::testing
