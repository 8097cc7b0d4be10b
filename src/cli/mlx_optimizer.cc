// The optimiser and the schedule of a configuration of mlx-lm.
#include "cli/mlx_reader.h"

namespace mw::cli {
namespace {

constexpr auto kOptimizers =
    std::to_array<std::string_view>({"adam", "adamw", "muon", "sgd", "adafactor"});
constexpr double kMostSteps = 2147483646;

void describe_setting(MlxReader& r, const std::string& optimizer, const std::string& key,
                      const YAML::Node& value) {
  const std::string name = "optimizer_config." + optimizer + "." + key;
  const auto number = [&](const YAML::Node& node) {
    return r.value_of<double>(node, name, "a number");
  };
  const auto as = [&](const char* option, double number) {
    r.set(option, number, "optimizer_config");
  };
  const auto only = [&](bool good, const char* reason) {
    if (!good) r.reject(name, value, reason);
  };
  const bool is_adam = optimizer == "adam" || optimizer == "adamw";
  if (key == "betas" && is_adam) {
    only(value.IsSequence() && value.size() == 2, "expected two numbers");
    as("beta1", number(value[0]));
    as("beta2", number(value[1]));
  } else if (key == "eps" && is_adam) {
    as("epsilon", number(value));
  } else if (key == "eps" && optimizer == "adafactor") {
    only(value.IsSequence() && value.size() == 2, "expected two numbers");
    as("epsilon", number(value[1]));
  } else if (key == "bias_correction" && is_adam) {
    const bool on = r.value_of<bool>(value, name, "true or false");
    r.set("bias_correction", on ? "true" : "false", "optimizer_config");
  } else if (key == "weight_decay" && optimizer != "adam") {
    as("weight_decay", number(value));
  } else if (key == "momentum" && (optimizer == "sgd" || optimizer == "muon")) {
    as("momentum", number(value));
  } else if (key == "nesterov" && (optimizer == "sgd" || optimizer == "muon")) {
    const bool on = r.value_of<bool>(value, name, "true or false");
    r.set("nesterov", on ? "true" : "false", "optimizer_config");
  } else if (key == "dampening" && optimizer == "sgd") {
    only(number(value) == 0, "gradients are not dampened here; expected 0");
  } else if (key == "ns_steps" && optimizer == "muon") {
    only(number(value) == 5, "steps are made orthogonal in five rounds here; expected 5");
  } else if (key == "decay_rate" && optimizer == "adafactor") {
    as("decay_rate", -number(value));
  } else if (key == "clip_threshold" && optimizer == "adafactor") {
    as("clip_threshold", number(value));
  } else if (key == "scale_parameter" && optimizer == "adafactor") {
    only(r.value_of<bool>(value, name, "true or false"),
         "steps are relative to the weights here; expected true");
  } else if ((key == "relative_step" || key == "warmup_init") && optimizer == "adafactor") {
    only(!r.value_of<bool>(value, name, "true or false"),
         "the learning rate is that of the configuration here; expected false");
  } else {
    r.reject(name, value, "this setting of the optimiser is not known here");
  }
}

std::vector<double> arguments_of(const MlxReader& r, const YAML::Node& schedule) {
  const YAML::Node list = schedule["arguments"];
  if (!list || !list.IsSequence()) {
    r.reject("lr_schedule.arguments", schedule, "expected a list of numbers");
  }
  std::vector<double> arguments;
  for (const YAML::Node& item : list) {
    arguments.push_back(r.value_of<double>(item, "lr_schedule.arguments", "a number"));
  }
  return arguments;
}

int64_t steps_in(const MlxReader& r, const YAML::Node& schedule, double number) {
  if (number >= 1 && number <= kMostSteps) return static_cast<int64_t>(number);
  r.reject("lr_schedule.arguments", schedule,
           fmt::format("expected a number of steps, got {}", number));
}

}  // namespace

void describe_optimizer(MlxReader& r) {
  if (r.given("optimizer") != nullptr) return;
  std::string name = r.text("optimizer", "adam");
  name = training::lower_case(name);
  if (!is_in(kOptimizers, name)) {
    r.reject("optimizer", r.root["optimizer"],
             fmt::format("expected {}, got '{}'",
                         training::listed({kOptimizers.begin(), kOptimizers.end()}), name));
  }
  r.set("optimizer", name, "optimizer");
  const YAML::Node all = r.map("optimizer_config");
  r.expect_keys(all, "optimizer_config", kOptimizers);
  const YAML::Node settings =
      r.has(all, name.c_str()) ? all[name] : YAML::Node(YAML::NodeType::Map);
  if (!settings.IsMap()) r.reject("optimizer_config", settings, "expected keys and values");
  // In mlx the first steps of Adam are not corrected where nothing says so.
  const bool is_adam = name == "adam" || name == "adamw";
  if (is_adam && !r.has(settings, "bias_correction")) {
    r.set("bias_correction", "false", "optimizer_config");
  }
  if (name == "muon" && !r.has(settings, "weight_decay")) r.set("weight_decay", 0.01, "optimizer");
  for (const auto& row : settings) {
    if (!row.second.IsNull()) describe_setting(r, name, key_of(row), row.second);
  }
}

void describe_schedule(MlxReader& r) {
  const YAML::Node schedule = r.map("lr_schedule");
  r.expect_keys(schedule, "lr_schedule", kMlxScheduleKeys);
  if (schedule.size() == 0) {
    const double rate = r.read<double>(r.root, "learning_rate", "learning_rate", 1e-5, "a number");
    return r.set("learning_rate", rate, "learning_rate");
  }
  const auto name = r.read<std::string>(schedule, "name", "lr_schedule.name", "", "a text");
  const std::vector<double> arguments = arguments_of(r, schedule);
  const auto expect = [&](size_t least, size_t most) {
    if (arguments.size() >= least && arguments.size() <= most) return;
    r.reject(
        "lr_schedule.arguments", schedule,
        fmt::format("expected {} for {}, got {}",
                    least == most ? std::to_string(least) : fmt::format("{} or {}", least, most),
                    name, arguments.size()));
  };
  const auto warmup =
      r.read<int64_t>(schedule, "warmup", "lr_schedule.warmup", 0, "a whole number");
  if (warmup < 0 || static_cast<double>(warmup) > kMostSteps) {
    r.reject("lr_schedule.warmup", schedule,
             fmt::format("expected a number of steps, got {}", warmup));
  }
  const bool is_cosine = name == "cosine_decay", is_linear = name == "linear_schedule";
  const bool is_step = name == "step_decay", is_exponential = name == "exponential_decay";
  if (is_cosine) {
    expect(2, 3);
  } else if (is_linear || is_step) {
    expect(3, 3);
  } else if (is_exponential) {
    expect(2, 2);
  } else {
    r.reject("lr_schedule.name", schedule,
             fmt::format("expected cosine_decay, linear_schedule, exponential_decay or step_decay, "
                         "got '{}'; schedules of several parts are not done here",
                         name));
  }
  const double rate = arguments[0];
  if (!(rate > 0)) r.reject("lr_schedule.arguments", schedule, "expected a learning rate above 0");
  r.set("learning_rate", rate, "lr_schedule");
  r.set("warmup_steps", warmup, "lr_schedule");
  const auto risen_from =
      r.read<double>(schedule, "warmup_init", "lr_schedule.warmup_init", 0, "a number");
  r.set("initial_factor", risen_from / rate, "lr_schedule");
  if (is_cosine || is_linear) {
    const double steps = arguments[is_cosine ? 1 : 2];
    const double end = is_linear ? arguments[1] : arguments.size() > 2 ? arguments[2] : 0;
    const auto kind = is_cosine ? Schedule::Kind::kCosine : Schedule::Kind::kLinear;
    r.set("schedule", training::text_of(kind), "lr_schedule");
    r.set("total_steps", warmup + steps_in(r, schedule, steps), "lr_schedule");
    r.set("final_factor", end / rate, "lr_schedule");
  } else {
    r.set("schedule", training::text_of(Schedule::Kind::kStep), "lr_schedule");
    r.set("decay_factor", arguments[1], "lr_schedule");
    r.set("decay_every", is_step ? steps_in(r, schedule, arguments[2]) : int64_t{1}, "lr_schedule");
  }
}

}  // namespace mw::cli
