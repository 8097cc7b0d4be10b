// What settings of training there are: for people, and for the tools that write docs/settings.md
// and the Python classes.
#pragma once

namespace mw::cli {

void print_settings();
void print_settings_json();

}  // namespace mw::cli
