// Continues a prompt, each piece of text as it comes: generate MODEL PROMPT [TOKENS]
#include <cstdlib>
#include <iostream>
#include <millwright/millwright.hpp>

namespace {

int generate(const char* path, const char* prompt, int tokens) {
  const auto model = mw::CoreMLModelWrapper::load(path);
  mw::GenerationSettings settings;
  settings.max_tokens = tokens;
  std::cout << prompt;
  const mw::Generation said = model.generate(prompt, settings, [](const std::string& piece) {
    std::cout << piece << std::flush;
    return true;  // false ends the text
  });
  std::cout << '\n';
  std::cerr << said.ids.size() << " tokens, " << said.reason << '\n';
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) {
    std::cerr << "usage: generate MODEL PROMPT [TOKENS]\n";
    return 1;
  }
  try {
    return generate(argv[1], argv[2], argc > 3 ? std::atoi(argv[3]) : 40);
  } catch (const mw::Error& e) {
    std::cerr << "error: " << e.what() << '\n';
    return e.exit_code();
  }
}
