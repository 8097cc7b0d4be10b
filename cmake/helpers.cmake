# One way to declare a room and its tests, so that a room's CMakeLists stays a few lines.

add_library(mw_flags INTERFACE)
target_compile_options(mw_flags INTERFACE -Wall -Wextra -Werror -Wno-missing-field-initializers
  $<$<CXX_COMPILER_ID:GNU>:-Wno-restrict>)  # GCC 12 reports false overlaps in std::string (bug 105651)
target_include_directories(mw_flags INTERFACE ${CMAKE_SOURCE_DIR}/src ${CMAKE_SOURCE_DIR}/include)
if(MW_SANITIZE)
  target_compile_options(mw_flags INTERFACE -fsanitize=${MW_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  # g++ 12 takes instrumented variants and vectors for uninitialised ones.
  target_compile_options(mw_flags INTERFACE $<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized>)
  target_link_options(mw_flags INTERFACE -fsanitize=${MW_SANITIZE})
endif()
if(MW_FUZZ)
  target_compile_options(mw_flags INTERFACE -fsanitize=fuzzer-no-link)
  # One thread, so that a finding repeats; clang 16 cannot capture structured bindings under OpenMP.
  set_target_properties(OpenMP::OpenMP_CXX PROPERTIES INTERFACE_COMPILE_OPTIONS -Wno-unknown-pragmas)
endif()

include(cmake/precompiled.cmake)

# mw_add_library(mw_ir SOURCES a.cc b.cc DEPS mw_base fmt::fmt [FLAVOUR commands])
function(mw_add_library name)
  cmake_parse_arguments(ARG "" "FLAVOUR" "SOURCES;DEPS" ${ARGN})
  add_library(${name} STATIC ${ARG_SOURCES})
  target_link_libraries(${name} PUBLIC mw_flags ${ARG_DEPS})
  if(NOT ARG_FLAVOUR)
    set(ARG_FLAVOUR libraries)
  endif()
  mw_precompile_for(${name} ${ARG_FLAVOUR})
endfunction()

add_custom_target(mw_tests)  # builds the test binaries and nothing else
add_custom_target(mw_slow_tests)  # those that `make test` leaves out of this build
add_custom_target(mw_fuzzers)

# mw_add_test(ir_test SOURCES a_test.cc DEPS mw_ir [LABELS slow noasan])
# One binary, one ctest entry. It finds fixtures through MW_TEST_DATA (tests/data) and, where the
# folder exists, MW_SHARED (larger suites). Label `slow`: only in `make check-long`; `slowasan`: with
# sanitizers only there; `noasan`: not with sanitizers, because it measures what they change.
function(mw_add_test name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS;LABELS" ${ARGN})
  if(NOT MW_TESTS OR (MW_SANITIZE AND "noasan" IN_LIST ARG_LABELS))
    return()
  endif()
  add_executable(${name} ${ARG_SOURCES})
  # The tests' own code need not be fast: this halves the time it takes to build.
  target_compile_options(${name} PRIVATE -O0)
  target_link_libraries(${name} PRIVATE mw_flags ${ARG_DEPS} GTest::gtest GTest::gtest_main)
  if(NOT "millwright" IN_LIST ARG_DEPS)  # a user's program: compiled with other options
    mw_precompile_for(${name} tests)
  endif()
  set(labels fast ${ARG_LABELS})
  if(MW_SANITIZE AND "slowasan" IN_LIST ARG_LABELS)
    set(labels slow ${ARG_LABELS})
    add_dependencies(mw_slow_tests ${name})
  else()
    add_dependencies(mw_tests ${name})
  endif()
  add_test(NAME ${name} COMMAND ${name})
  set_tests_properties(${name} PROPERTIES LABELS "${labels}" ENVIRONMENT
    "MW_TEST_DATA=${CMAKE_SOURCE_DIR}/tests/data;MW_EXAMPLES=${CMAKE_SOURCE_DIR}/examples;MW_SHARED=${CMAKE_SOURCE_DIR}/../shared")
endfunction()

# mw_add_fuzzer(fuzz_mil SOURCES x.cc DEPS ...): only with -DMW_FUZZ=ON and clang.
function(mw_add_fuzzer name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS" ${ARGN})
  if(MW_FUZZ)
    add_executable(${name} ${ARG_SOURCES})
    target_link_libraries(${name} PRIVATE mw_flags ${ARG_DEPS})
    target_link_options(${name} PRIVATE -fsanitize=fuzzer)
    add_dependencies(mw_fuzzers ${name})
  endif()
endfunction()
