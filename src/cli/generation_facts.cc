// What is told of a generated text beside it.
#include "cli/generation_facts.h"

#include "cli/print.h"
#include "cli/spelling.h"

namespace mw::cli {

void inform_of(const Generation& said) {
  for (const std::string& note : said.notes) inform("{}\n", note);
  const std::string reused =
      said.reused_tokens > 0 ? fmt::format(" ({} of them kept)", said.reused_tokens) : "";
  inform(
      "prompt {} tokens{}, first token after {:.3f} s; {} tokens in {:.3f} s, {:.1f} tokens/s; "
      "{}\n",
      said.prompt_tokens, reused, said.first_token_seconds, said.ids.size(), said.seconds,
      said.tokens_per_second(),
      said.end == GenerationEnd::kMaxTokens ? "reached " + option_of("max_tokens") : said.reason);
}

}  // namespace mw::cli
