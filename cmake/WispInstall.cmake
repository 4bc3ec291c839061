# What `cmake --install` puts where, and how find_package and pkg-config find it again.
include(CMakePackageConfigHelpers)
include(GNUInstallDirs)

set(wisp_config_dir "${CMAKE_INSTALL_LIBDIR}/cmake/wisp")

# One export set per component, so that a component's dependencies are searched only by those who ask for it.
set(wisp_components)
foreach(component core sim alloc_meter json http)
  if(TARGET wisp_${component})
    list(APPEND wisp_components ${component})
    install(TARGETS wisp_${component} EXPORT wisp-${component}
      ARCHIVE DESTINATION "${CMAKE_INSTALL_LIBDIR}"
      FILE_SET HEADERS DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}")
    install(EXPORT wisp-${component} NAMESPACE wisp:: DESTINATION "${wisp_config_dir}")
  endif()
endforeach()

configure_package_config_file(cmake/wispConfig.cmake.in wispConfig.cmake
  INSTALL_DESTINATION "${wisp_config_dir}"
  NO_SET_AND_CHECK_MACRO NO_CHECK_REQUIRED_COMPONENTS_MACRO)
write_basic_package_version_file(wispConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES
  "${PROJECT_BINARY_DIR}/wispConfig.cmake"
  "${PROJECT_BINARY_DIR}/wispConfigVersion.cmake"
  cmake/WispFunctions.cmake
  DESTINATION "${wisp_config_dir}")

# Relative to the .pc file, so that a tree that moved after installation still works; but for a folder that is given as
# absolute, perhaps outside of the tree.
if(IS_ABSOLUTE "${CMAKE_INSTALL_LIBDIR}")
  set(wisp_pc_prefix "${CMAKE_INSTALL_PREFIX}")
else()
  file(RELATIVE_PATH wisp_pc_to_prefix "${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig" "${CMAKE_INSTALL_PREFIX}")
  set(wisp_pc_prefix "\${pcfiledir}/${wisp_pc_to_prefix}")
endif()
foreach(each INCLUDEDIR LIBDIR)
  cmake_path(ABSOLUTE_PATH CMAKE_INSTALL_${each} BASE_DIRECTORY "\${prefix}" OUTPUT_VARIABLE wisp_pc_${each})
endforeach()
configure_file(cmake/wisp.pc.in wisp.pc @ONLY)
install(FILES "${PROJECT_BINARY_DIR}/wisp.pc" DESTINATION "${CMAKE_INSTALL_LIBDIR}/pkgconfig")

install(FILES LICENSE DESTINATION "${CMAKE_INSTALL_DOCDIR}")
