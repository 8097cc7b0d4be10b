# Headers that nearly every file includes, parsed once for the libraries, the commands and the tests,
# whose options differ: parsing is two thirds of what a file costs. Each file still includes what it uses;
# builds with -DMW_PRECOMPILE=OFF, as the fuzzers are, show when one does not.
option(MW_PRECOMPILE "Precompile the headers of the standard library and of fmt" ON)
set(MW_PRECOMPILED <algorithm> <array> <atomic> <cmath> <cstdint> <cstring> <filesystem> <functional>
  <limits> <map> <memory> <numeric> <optional> <set> <span> <string> <string_view> <unordered_map>
  <unordered_set> <utility> <variant> <vector> <fmt/format.h>)

# mw_precompile_for(TARGET FLAVOUR): libraries, commands, tests.
function(mw_precompile_for target flavour)
  if(MW_PRECOMPILE)
    target_precompile_headers(${target} REUSE_FROM mw_precompiled_${flavour})
  endif()
endfunction()

if(MW_PRECOMPILE)
  file(CONFIGURE OUTPUT ${CMAKE_BINARY_DIR}/precompiled.cc CONTENT "int main() {}\n")
  add_library(mw_precompiled_libraries STATIC ${CMAKE_BINARY_DIR}/precompiled.cc)
  target_precompile_headers(mw_precompiled_libraries PRIVATE ${MW_PRECOMPILED})
  add_library(mw_precompiled_commands STATIC ${CMAKE_BINARY_DIR}/precompiled.cc)
  target_precompile_headers(mw_precompiled_commands PRIVATE ${MW_PRECOMPILED})
  target_compile_options(mw_precompiled_commands PRIVATE $<$<CONFIG:Release>:-O1>)
  set(owners mw_precompiled_libraries mw_precompiled_commands)
  if(MW_TESTS)
    add_executable(mw_precompiled_tests ${CMAKE_BINARY_DIR}/precompiled.cc)
    target_precompile_headers(mw_precompiled_tests PRIVATE ${MW_PRECOMPILED} <gtest/gtest.h>)
    target_compile_options(mw_precompiled_tests PRIVATE -O0)
    target_link_libraries(mw_precompiled_tests PRIVATE GTest::gtest)
    list(APPEND owners mw_precompiled_tests)
  endif()
  foreach(owner ${owners})
    target_link_libraries(${owner} PRIVATE mw_flags fmt::fmt OpenMP::OpenMP_CXX Threads::Threads)
  endforeach()
endif()
