# Third-party libraries, all from package registries; `make deps` installs them.
find_package(Threads REQUIRED)
find_package(OpenMP REQUIRED)
find_package(fmt REQUIRED)
find_package(Protobuf REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(CLI11 REQUIRED)
find_package(yaml-cpp REQUIRED)
find_package(PkgConfig REQUIRED)
pkg_check_modules(LIBZIP REQUIRED IMPORTED_TARGET libzip)
add_library(libzip::zip ALIAS PkgConfig::LIBZIP)
if(MW_TESTS)
  enable_testing()
  find_package(GTest REQUIRED)
endif()

find_library(HWY_LIBRARY hwy REQUIRED)
find_path(HWY_INCLUDE_DIR hwy/highway.h REQUIRED)
add_library(hwy::hwy UNKNOWN IMPORTED)
set_target_properties(hwy::hwy PROPERTIES IMPORTED_LOCATION ${HWY_LIBRARY}
                                          INTERFACE_INCLUDE_DIRECTORIES ${HWY_INCLUDE_DIR})

# Matrix products: oneDNN 3, the wheel unpacked by tools/setup.sh; or any BLAS with the C interface, for
# processors and systems that oneDNN is not for.
set(MW_GEMM onednn CACHE STRING "Library of matrix products: onednn or blas")
set_property(CACHE MW_GEMM PROPERTY STRINGS onednn blas)
add_library(mw_gemm_library INTERFACE)
if(MW_GEMM STREQUAL "onednn")
  set(MW_ONEDNN_DIR ${CMAKE_SOURCE_DIR}/.deps/onednn CACHE PATH "Folder with lib/ and include/ of oneDNN 3")
  find_library(DNNL_LIBRARY dnnl PATHS ${MW_ONEDNN_DIR}/lib NO_DEFAULT_PATH REQUIRED)
  add_library(dnnl::dnnl UNKNOWN IMPORTED)
  set_target_properties(dnnl::dnnl PROPERTIES IMPORTED_LOCATION ${DNNL_LIBRARY}
                                              INTERFACE_INCLUDE_DIRECTORIES ${MW_ONEDNN_DIR}/include)
  target_link_libraries(mw_gemm_library INTERFACE dnnl::dnnl)
elseif(MW_GEMM STREQUAL "blas")
  if(APPLE)
    target_link_libraries(mw_gemm_library INTERFACE "-framework Accelerate")
  else()
    # A library that shares our OpenMP threads: tools/setup.sh --blas installs it.
    set(suffixes openblas-openmp openblas)
    find_library(MW_BLAS_LIBRARY NAMES openblas blas PATH_SUFFIXES ${suffixes} REQUIRED)
    find_path(MW_BLAS_INCLUDE_DIR cblas.h PATH_SUFFIXES ${suffixes} REQUIRED)
    target_link_libraries(mw_gemm_library INTERFACE ${MW_BLAS_LIBRARY})
    target_include_directories(mw_gemm_library INTERFACE ${MW_BLAS_INCLUDE_DIR})
  endif()
else()
  message(FATAL_ERROR "MW_GEMM: expected onednn or blas, got '${MW_GEMM}'")
endif()

find_program(CCACHE ccache)
if(CCACHE)
  # As its manual asks for beside precompiled headers.
  set(CMAKE_CXX_COMPILER_LAUNCHER env CCACHE_SLOPPINESS=pch_defines,time_macros ${CCACHE})
endif()
