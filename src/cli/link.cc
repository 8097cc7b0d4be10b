// millwright link PART... --output OUT: models that follow one another, as one.
#include <memory>

#include "base/error.h"
#include "base/printable.h"
#include "cli/command.h"
#include "cli/written.h"
#include "ops/catalog.h"
#include "package/apart.h"
#include "package/link.h"

namespace mw::cli {
namespace {

struct Options {
  std::vector<std::string> parts;
  std::string output;
  bool json = false;
};

void link(const Options& o) {
  std::vector<package::Needed> needed;
  needed.reserve(o.parts.size());
  for (const std::string& part : o.parts) needed.push_back({"the part", part});
  package::expect_apart("--output", o.output, needed);
  package::Model model =
      package::link(package::parts_in_order({o.parts.begin(), o.parts.end()}),
                    [](const std::filesystem::path& path) { return package::read(path); });
  (void)package::correct(model, ops::catalog());
  std::filesystem::path out = o.output;
  if (out.filename().empty()) out = out.parent_path();
  write_and_tell(model, out, {}, o.json);
}

}  // namespace

void add_link(CLI::App& app) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand(
      "link", "Write models that follow one another as one: a folder of parts, or one package");
  command->add_option("parts", options->parts, "the parts, in order")->required();
  command
      ->add_option(
          "--output", options->output,
          "a folder for the parts, or a path that ends in .mlpackage, .mlmodelc or .mlmodel")
      ->required();
  command->add_flag("--json", options->json, "print JSON");
  command->callback([options] { link(*options); });
}

}  // namespace mw::cli
