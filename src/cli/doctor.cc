// millwright doctor: this machine and this build; with --ops, the operations it knows; with
// --settings, the settings of training.
#include <fmt/format.h>
#include <google/protobuf/stubs/common.h>
#include <zip.h>
#include <CLI/Version.hpp>

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>

#include "base/memory.h"
#include "base/os.h"
#include "base/parallel.h"
#include "base/quantity_text.h"
#include "cli/command.h"
#include "cli/describe.h"
#include "cli/print.h"
#include "cli/settings_table.h"
#include "cpu/library.h"
#include "cpu/primitives.h"
#include "devices/devices.h"
#include "ops/catalog.h"
#include "ops/released.h"

namespace mw::cli {
namespace {

struct Options {
  bool ops = false, settings = false, table = false, json = false;
};

using Rows = std::vector<std::pair<std::string, std::string>>;

std::string memory_of_machine() {
  return fmt::format("{}, {} available", memory_text(static_cast<uint64_t>(total_memory())),
                     memory_text(static_cast<uint64_t>(available_memory())));
}

std::string compiler_text() {
#ifdef __clang__
  return fmt::format("clang {}", __clang_version__);
#else
  return fmt::format("g++ {}", __VERSION__);
#endif
}

std::string sanitizers_text() {
  std::string text;
#ifdef __SANITIZE_ADDRESS__
  text += "address ";
#endif
#ifdef __SANITIZE_THREAD__
  text += "thread ";
#endif
  return text.empty() ? "none" : text;
}

std::string protobuf_text() {
  constexpr int kVersion = GOOGLE_PROTOBUF_VERSION;  // 3021012 for 3.21.12
  return fmt::format("{}.{}.{}", kVersion / 1'000'000, kVersion / 1000 % 1000, kVersion % 1000);
}

Rows machine_rows() {
  return {{"processor", os::processor_name()},
          {"SIMD", cpu::instruction_sets()},
          {"cores", std::to_string(os::cores_allowed())},
          {"memory", memory_of_machine()}};
}

Rows build_rows() {
  return {{"version", MW_VERSION},
          {"compiler", compiler_text()},
          {"threads", fmt::format("{} (--threads or OMP_NUM_THREADS)", thread_count())},
          {"sanitizers", sanitizers_text()},
          {"operations", fmt::format("{} (--ops lists them)", ops::catalog().names().size())}};
}

Rows library_rows() {
  return {{"products", cpu::library_text()},
          {"protobuf", protobuf_text()},
          {"fmt", fmt::format("{}.{}.{}", FMT_VERSION / 10000, FMT_VERSION / 100 % 100,
                              FMT_VERSION % 100)},
          {"nlohmann-json", fmt::format("{}.{}.{}", NLOHMANN_JSON_VERSION_MAJOR,
                                        NLOHMANN_JSON_VERSION_MINOR, NLOHMANN_JSON_VERSION_PATCH)},
          {"CLI11", CLI11_VERSION},
          {"libzip", zip_libzip_version()}};
}

struct OpRow {
  std::string name, opset, kernel, gradient;
};

std::string gradient_text(const std::string& name) {
  const ir::OpDef* def = ops::catalog().find(name, ir::Opset::kIos26);
  if (def == nullptr) return "";
  return def->vjp() ? "rule" : std::string(text_of(def->no_vjp()));
}

std::vector<OpRow> known_ops() {
  const plan::Platform cpu = devices::platform("cpu");
  std::vector<OpRow> rows;
  for (const std::string& name : ops::catalog().names()) {
    const char* kernel = "reference";
    if (cpu.ops->form<plan::ViewOf>(name) != nullptr) kernel = "view";
    if (cpu.backend->kernel(name) != nullptr || cpu.ops->of(name).row) kernel = "kernel";
    const auto opset = ops::catalog().first_opset(name);
    rows.push_back(
        {name, std::string(opset ? ir::name_of(*opset) : ""), kernel, gradient_text(name)});
  }
  return rows;
}

std::vector<std::string> missing_ops() {
  std::vector<std::string> missing;
  for (const std::string_view name : ops::released_ops()) {
    if (!ops::catalog().first_opset(name)) missing.emplace_back(name);
  }
  return missing;
}

void print_ops() {
  Table table("");
  const auto rows = known_ops();
  for (const OpRow& row : rows) table.row({row.name, row.opset, row.kernel, row.gradient});
  const auto missing = missing_ops();
  answer("{}{} operations; released and unknown here: {}\n{}", table.str(), rows.size(),
         missing.empty() ? "none" : std::to_string(missing.size()), wrapped(missing, "  "));
}

void print_table() {
  answer(
      "# Operations\n\n"
      "What this build knows, from its catalog; `make docs` writes this file. *Opset* is the first "
      "one that has the\n"
      "operation. *On the CPU* it is a kernel, a view of its input that costs nothing, or the "
      "reference implementation.\n"
      "*Gradient* is a rule, checked against differences, or the reason why there is none.\n\n"
      "A negative position among the indices of `gather`, `scatter` and their kin counts from the "
      "end of the axis; with\n"
      "`validate_indices` it is refused, and one outside the axis always is, in a sentence.\n\n"
      "| operation | opset | on the CPU | gradient |\n|---|---|---|---|\n");
  for (const OpRow& row : known_ops()) {
    answer("| `{}` | {} | {} | {} |\n", row.name, row.opset, row.kernel, row.gradient);
  }
  const auto missing = missing_ops();
  answer("\nOf the {} operations of the released opsets ", ops::released_ops().size());
  if (missing.empty()) return answer("none is missing.\n");
  answer("{} are missing:", missing.size());
  for (size_t i = 0; i < missing.size(); ++i) answer("{}`{}`", i > 0 ? ", " : " ", missing[i]);
  answer(".\n");
}

void print_ops_json() {
  nlohmann::json rows = nlohmann::json::array();
  for (const OpRow& row : known_ops()) {
    rows.push_back({{"name", row.name},
                    {"opset", row.opset},
                    {"kernel", row.kernel},
                    {"gradient", row.gradient}});
  }
  print_json({{"ops", rows}, {"missing", missing_ops()}});
}

void doctor(const Options& o) {
  if (o.table) return print_table();
  if (o.settings) return o.json ? print_settings_json() : print_settings();
  if (o.ops) return o.json ? print_ops_json() : print_ops();
  const char* core_ml = "not on this system; models run natively";
  const std::vector<std::pair<const char*, Rows>> sections = {
      {"machine", machine_rows()},
      {"build", build_rows()},
      {"libraries", library_rows()},
      {"Core ML", {{"framework", core_ml}}}};
  nlohmann::json json;
  for (const auto& [title, rows] : sections) {
    Table table("  ");
    for (const auto& [name, value] : rows) {
      table.row({fmt::format("{:<13}", name), value});
      json[title][name] = value;
    }
    if (!o.json) answer("{}\n{}", title, table.str());
  }
  if (o.json) print_json(json);
}

}  // namespace

void add_doctor(CLI::App& app) {
  auto options = std::make_shared<Options>();
  CLI::App* command =
      app.add_subcommand("doctor", "Show this machine, this build and its libraries");
  CLI::Option* ops = command->add_flag("--ops", options->ops, "list the operations instead");
  command->add_flag("--settings", options->settings, "list the settings of training instead")
      ->excludes(ops);
  CLI::Option* table =
      command->add_flag("--table", options->table, "with --ops: the table of docs/ops.md")
          ->needs(ops);
  command->add_flag("--json", options->json, "print JSON")->excludes(table);
  command->callback([options] { doctor(*options); });
}

}  // namespace mw::cli
