//! Finds libmillwright.so: where MILLWRIGHT_LIB_DIR says, in the build/ of the tree that this crate
//! stands in, or where pkg-config knows it.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{exit, Command};

const LIBRARY: &str = "libmillwright.so";
/// From the crate's folder, in which cargo runs this.
const TREE: &str = "../build/src/api";

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=MILLWRIGHT_LIB_DIR");
    println!("cargo:rerun-if-env-changed=PKG_CONFIG_PATH");
    let found = find().unwrap_or_else(|sentence| {
        eprintln!("error: {sentence}");
        exit(1)
    });
    // As it was found: a tree that was copied with its cache looks at its own library.
    println!("cargo:rerun-if-changed={}", found.join(LIBRARY).display());
    let folder = found.canonicalize().unwrap_or(found);
    let shown = folder.display();
    println!("cargo:rustc-link-search=native={shown}");
    println!("cargo:rustc-link-lib=dylib=millwright");
    // Of this crate's own tests and examples. A crate that depends on it finds the folder in
    // DEP_MILLWRIGHT_LIB_DIR.
    println!("cargo:rustc-link-arg=-Wl,-rpath,{shown}");
    println!("cargo:lib_dir={shown}");
}

fn find() -> Result<PathBuf, String> {
    if let Some(named) = env::var_os("MILLWRIGHT_LIB_DIR") {
        let named = PathBuf::from(named);
        if holds_library(&named) {
            return Ok(named);
        }
        let named = named.display();
        return Err(format!(
            "MILLWRIGHT_LIB_DIR: expected a folder that holds {LIBRARY}, got '{named}'"
        ));
    }
    if holds_library(Path::new(TREE)) {
        return Ok(TREE.into());
    }
    let installed = installed().filter(|folder| holds_library(folder));
    installed.ok_or_else(|| {
        format!(
            "{LIBRARY}: not in '{TREE}', and pkg-config knows no millwright; \
             build it with `make`, or set MILLWRIGHT_LIB_DIR to its folder"
        )
    })
}

fn holds_library(folder: &Path) -> bool {
    folder.join(LIBRARY).exists()
}

fn installed() -> Option<PathBuf> {
    let tool = env::var_os("PKG_CONFIG").unwrap_or_else(|| "pkg-config".into());
    let answer = Command::new(tool).args(["--variable=libdir", "millwright"]).output().ok()?;
    let folder = String::from_utf8(answer.stdout).ok()?;
    Some(folder.trim().into()).filter(|_| !folder.trim().is_empty())
}
