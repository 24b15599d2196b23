# SPDX-License-Identifier: Apache-2.0
"""Conan 2 recipe: `conan create cmake/packaging/conan` in a checkout packs the checkout."""

import os
import re

from conan import ConanFile
from conan.tools.build import check_min_cppstd
from conan.tools.layout import basic_layout
from conan.tools.files import copy, load

required_conan_version = ">=2.0"


class HalfwayConan(ConanFile):
    name = "halfway"
    description = "Header-only mixed-precision formats, kernels and training tools"
    license = "Apache-2.0"
    topics = ("mixed-precision", "bfloat16", "float8", "simd", "quantization", "header-only")
    package_type = "header-library"
    settings = "os", "arch", "compiler", "build_type"
    no_copy_source = True

    @property
    def _checkout(self):
        return os.path.join(self.recipe_folder, "..", "..", "..")

    def set_version(self):
        text = load(self, os.path.join(self._checkout, "CMakeLists.txt"))
        self.version = self.version or re.search(r"^  VERSION ([0-9.]+)$", text, re.MULTILINE).group(1)

    def export_sources(self):
        for pattern in ("CMakeLists.txt", "LICENSE", "cmake/*", "include/*"):
            copy(self, pattern, self._checkout, self.export_sources_folder)

    def requirements(self):
        # Its headers are included by ours, and run-time dispatch calls its library.
        self.requires("highway/[>=1.2 <2]", transitive_headers=True, transitive_libs=True)

    def package_id(self):
        self.info.clear()

    def validate(self):
        check_min_cppstd(self, 20)

    def layout(self):
        basic_layout(self)

    def package(self):
        copy(self, "LICENSE", self.source_folder, os.path.join(self.package_folder, "licenses"))
        copy(self, "*.h", os.path.join(self.source_folder, "include"), os.path.join(self.package_folder, "include"))

    def package_info(self):
        self.cpp_info.bindirs = []
        self.cpp_info.libdirs = []
        self.cpp_info.set_property("cmake_file_name", "halfway")
        self.cpp_info.set_property("cmake_target_name", "halfway::halfway")
        self.cpp_info.set_property("pkg_config_name", "halfway")
        self.cpp_info.requires = ["highway::highway"]  # all of it: its components depend on the recipe
        if self.settings.os in ("Linux", "FreeBSD"):
            self.cpp_info.system_libs = ["pthread"]
