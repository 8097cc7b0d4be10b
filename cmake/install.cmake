# What `cmake --install` puts in place: the library, its headers, the command line tool, and what
# find_package(millwright) and pkg-config need. oneDNN comes along, because no distribution of ours
# has it in the version we need.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

set_target_properties(millwright PROPERTIES INSTALL_RPATH "$ORIGIN")
install(TARGETS millwright EXPORT millwright-targets COMPONENT millwright
  LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
if(MW_GEMM STREQUAL "onednn")
  file(REAL_PATH ${DNNL_LIBRARY} dnnl_file)
  install(FILES ${dnnl_file} DESTINATION ${CMAKE_INSTALL_LIBDIR} RENAME libdnnl.so.3
    COMPONENT millwright)
endif()
install(DIRECTORY ${CMAKE_SOURCE_DIR}/include/millwright DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}
  COMPONENT millwright)
install(EXPORT millwright-targets NAMESPACE millwright:: COMPONENT millwright
  DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/millwright)

configure_package_config_file(${CMAKE_SOURCE_DIR}/cmake/millwright-config.cmake.in
  ${CMAKE_BINARY_DIR}/millwright-config.cmake
  INSTALL_DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/millwright)
write_basic_package_version_file(${CMAKE_BINARY_DIR}/millwright-config-version.cmake
  COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_BINARY_DIR}/millwright-config.cmake
              ${CMAKE_BINARY_DIR}/millwright-config-version.cmake
  DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/millwright COMPONENT millwright)

file(RELATIVE_PATH MW_PREFIX_FROM_PC /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
configure_file(${CMAKE_SOURCE_DIR}/cmake/millwright.pc.in ${CMAKE_BINARY_DIR}/millwright.pc @ONLY)
install(FILES ${CMAKE_BINARY_DIR}/millwright.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig
  COMPONENT millwright)
