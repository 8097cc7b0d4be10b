// millwright tokenize MODEL TEXT: ids and pieces.

#include <memory>
#include <nlohmann/json.hpp>

#include "base/printable.h"
#include "cli/command.h"
#include "cli/print.h"

namespace mw::cli {
namespace {

struct Options {
  std::string model, text, tokenizer;
  bool json = false, bare = false;
};

void tokenize(const Options& o) {
  const Tokenizer tokenizer = Tokenizer::find(o.model, o.tokenizer);
  const auto pieces = tokenizer.encode_pieces(o.text, !o.bare);
  if (o.json) {
    nlohmann::json ids = nlohmann::json::array(), texts = nlohmann::json::array();
    for (const auto& piece : pieces) {
      ids.push_back(piece.id);
      texts.push_back(piece.text);
    }
    print_json({{"ids", ids}, {"pieces", texts}});
    return;
  }
  for (const auto& piece : pieces) answer("{:>7}  {}\n", piece.id, printable(piece.text));
}

}  // namespace

void add_tokenize(CLI::App& app) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("tokenize", "Print the token ids and pieces of a text");
  command->add_option("model", options->model, "the model whose tokenizer to use")->required();
  command->add_option("text", options->text, "the text")->required();
  command->add_option("--tokenizer", options->tokenizer,
                      "tokenizer.json or its folder (default: in or beside the model)");
  command->add_flag("--no-special-tokens", options->bare,
                    "leave out the tokens that enclose a text");
  command->add_flag("--json", options->json, "print JSON");
  command->callback([options] { tokenize(*options); });
}

}  // namespace mw::cli
